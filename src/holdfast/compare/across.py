"""Several streams: a mixed model from three on, ranks from five on, and a sentence for fewer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from holdfast.compare.mixed import FEWEST, Mixed, Row, mixed_model
from holdfast.compare.streams import LEAST, friedman

Block = tuple[int, str]


@dataclass(frozen=True)
class Figures:
    """One figure of every run of a table.

    Attributes:
        stream: the data.
        baseline: of the table.
        methods: the figure by block, for each.
    """

    stream: str
    baseline: str
    methods: Mapping[str, Mapping[Block, float]]


def across_streams(tables: Sequence[Figures], better: int) -> tuple[Mixed | None, list[str]]:
    """What can be said over streams, and why so few say nothing; nothing for one stream.

    Args:
        tables: of the same figure; of each stream the one with most methods is taken.
        better: 1 where more is better, -1 where less is.
    """
    widest = sorted(tables, key=lambda table: len(table.methods))
    streams = {table.stream: table for table in widest}
    if len(streams) < 2:
        return None, []
    if len(streams) < FEWEST:
        return None, [
            f"{len(streams)} streams are too few for a model over streams, which needs {FEWEST}, and for a "
            f"test of ranks, which needs {LEAST}: read each table."
        ]
    every = [table.methods for table in streams.values()]
    names = [name for name in every[0] if all(name in one for one in every)]
    if len(names) < 2:
        return None, ["No two methods ran on every stream: nothing is said over streams."]
    mixed, notes = _mixed(streams, names)
    return mixed, [*notes, *_ranks(every, names, better)]


def _mixed(streams: Mapping[str, Figures], names: Sequence[str]) -> tuple[Mixed | None, list[str]]:
    """The contrasts to the baseline over all streams, where it is one and there are blocks enough."""
    bases = {table.baseline for table in streams.values()}
    (base, *others) = sorted(bases)
    rows = [
        Row(stream, block, name, value)
        for stream, table in streams.items()
        for name in names
        for block, value in table.methods[name].items()
        if np.isfinite(value)
    ]
    blocks = {(row.stream, row.block) for row in rows}
    if others or base not in names or len(rows) - len(blocks) < len(names):
        return None, []
    mixed = mixed_model(rows, base)
    shown = "; ".join(
        f"{e.method} {e.mean:+.1f} ± {mixed.half_width(e):.1f} (p {e.p_holm:.2g})"
        for e in mixed.effects
    ).replace("-", "\u2212")
    total = mixed.stream + mixed.block + mixed.rest or 1.0
    return mixed, [
        f"Over {len(streams)} streams, differences to {base} by a mixed model (method + stream + block, "
        f"95 % t intervals, Holm's p): {shown}. Of the variance {100 * mixed.stream / total:.0f} % goes "
        f"with the stream and {100 * mixed.block / total:.0f} % with the block; it speaks of these streams."
    ]


def _ranks(
    every: Sequence[Mapping[str, Mapping[Block, float]]], names: Sequence[str], better: int
) -> list[str]:
    """Friedman's test, where there are streams enough."""
    if len(every) < LEAST:
        return [
            f"{len(every)} streams are too few for a test of ranks over streams, which needs {LEAST}."
        ]
    means = np.array([[better * np.mean(list(one[n].values())) for n in names] for one in every])
    ranks = friedman(means)
    shown = ", ".join(f"{name} {rank:.2f}" for rank, name in sorted(zip(ranks.mean, names)))
    return [f"Mean ranks over {len(every)} streams: {shown}; Friedman p {ranks.p:.2g}."]
