"""A comparison: methods in tables, their paired differences, and what could not have been seen."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from holdfast.compare.across import Figures, across_streams
from holdfast.compare.cell import Cell
from holdfast.compare.contrast import MARGIN, Contrast, contrasted, over_blocks
from holdfast.compare.figures import FIGURES, Variant, Weighting, figures_of
from holdfast.compare.groups import Group, Lane, grouped, method_named, why_apart
from holdfast.compare.mixed import Mixed
from holdfast.compare.paired import Estimate, holm
from holdfast.core.errors import ConfigError, unknown


@dataclass(frozen=True)
class Row:
    """One method of a table.

    Attributes:
        name: of it.
        estimate: of the metric, as it is shown, over its own blocks.
        figures: the mean over blocks of every figure, as stored; the median of seconds.
        contrast: to the baseline; None for the baseline.
        trials: with how many it was tuned; None where nothing says.
        lane: its runs.
    """

    name: str
    estimate: Estimate
    figures: Mapping[str, float]
    contrast: Contrast | None
    trials: int | None
    lane: Lane


@dataclass(frozen=True)
class Table:
    """Methods that may be compared, the best first.

    Attributes:
        place: what their runs have alike.
        baseline: the name of the method that the others are compared with.
        rows: a method each.
        contrasts: those that were named beforehand; all to the baseline, where none were.
        notes: what should be known, a sentence each.
    """

    place: Mapping[str, str]
    baseline: str
    rows: Sequence[Row]
    contrasts: Sequence[Contrast]
    notes: Sequence[str]


@dataclass(frozen=True)
class Comparison:
    """What runs say of methods.

    Attributes:
        metric: that is compared, of `figures.FIGURES`.
        weighting: of the tasks, in every figure.
        forgetting: the variant.
        margin: of equivalence, in the unit of the metric as it is shown.
        tables: runs that may be compared, each.
        notes: of all tables.
        mixed: the model over streams; None where there are too few.
    """

    metric: str
    weighting: Weighting
    forgetting: Variant
    margin: float
    tables: Sequence[Table]
    notes: Sequence[str] = field(default_factory=list)
    mixed: Mixed | None = None


def compare(
    cells: Sequence[Cell],
    baseline: str = "",
    metric: str = "final",
    margin: float = MARGIN,
    contrasts: Sequence[tuple[str, str]] = (),
    weighting: Weighting = "mean_images",
    forgetting: Variant = "max_before",
    across: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> Comparison:
    """Put runs side by side (docs/theory.md, section 14).

    Args:
        cells: of `read_runs`.
        baseline: with which all are compared; by default finetune, or else the first by name.
        metric: a name of `figures.FIGURES`.
        margin: within which two count as the same, in points or the metric's unit.
        contrasts: pairs (a, b) named beforehand, over which Holm corrects; none is all to the baseline.
        weighting: ``mean_images`` or ``mean_tasks``.
        forgetting: ``max_before``, ``max_all`` or ``first``.
        across: what may differ within a table, see `groups.grouped`.
        notes: to begin with.

    Raises:
        ConfigError: for an unknown name, no cell, or a margin that is not above 0.
    """
    if metric not in FIGURES:
        raise unknown("metric", metric, FIGURES)
    if not cells:
        raise ConfigError("there is nothing to compare: give folders of complete runs.")
    if not (math.isfinite(margin) and margin > 0):
        raise ConfigError(f"--margin is a number above 0, not {margin}.")
    groups = grouped(cells, across)
    names = {lane.name for group in groups for lane in group.lanes}
    baseline = method_named(baseline, names) if baseline else ""
    contrasts = [(method_named(a, names), method_named(b, names)) for a, b in contrasts]
    view = _View(metric, margin, weighting, forgetting, joints(cells))
    tables = [_table(group, baseline, contrasts, view) for group in groups]
    figures = [
        Figures(t.place["data"], t.baseline, {r.name: view.values(r.lane) for r in t.rows})
        for t in tables
    ]
    mixed, further = across_streams(figures, FIGURES[metric].better)
    notes = [*notes, *why_apart(groups), *further]
    return Comparison(metric, weighting, forgetting, margin, tables, notes, mixed)


@dataclass(frozen=True)
class _View:
    """What is looked at."""

    metric: str
    margin: float
    weighting: Weighting
    forgetting: Variant
    joints: Mapping[tuple[str, ...], Cell] = field(default_factory=dict)

    def values(self, lane: Lane) -> dict[tuple[int, str], float]:
        """The metric of every block, as it is shown."""
        scale = FIGURES[self.metric].scale
        return {b: scale * self.figures(c)[self.metric] for b, c in lane.cells.items()}

    def figures(self, cell: Cell) -> dict[str, float]:
        joint = self.joints.get(_upper(cell))
        return figures_of(cell, self.weighting, self.forgetting, joint)


def joints(cells: Sequence[Cell]) -> dict[tuple[str, ...], Cell]:
    """The joint runs among cells, by data, split, backbone and block; none where they are ambiguous."""
    output: dict[tuple[str, ...], Cell] = {}
    twice = set()
    for cell in cells:
        if cell.recipe == "joint" and output.setdefault(_upper(cell), cell) is not cell:
            twice.add(_upper(cell))
    return {key: cell for key, cell in output.items() if key not in twice}


def _upper(cell: Cell) -> tuple[str, ...]:
    """What a run and its upper bound have alike: they differ in what is stored."""
    return (
        *(cell.place[name] for name in ("data", "split", "backbone")),
        str(cell.seed),
        cell.order,
    )


def _table(group: Group, baseline: str, contrasts: Sequence[tuple[str, str]], view: _View) -> Table:
    lanes = {lane.name: lane for lane in group.lanes}
    base = baseline if baseline in lanes else "finetune" if "finetune" in lanes else min(lanes)
    wanted = [pair for pair in contrasts if set(pair) <= lanes.keys()]
    pairs = wanted or [(name, base) for name in lanes if name != base]
    notes = list(group.notes)
    if contrasts and not wanted:
        notes.append(
            "No contrast that was named is in this table: all are compared with the baseline."
        )
    everything = {(name, base) for name in lanes if name != base} | set(pairs)
    computed = {pair: _contrast(lanes[pair[0]], lanes[pair[1]], view) for pair in everything}
    measured = {pair: contrast for pair, contrast in computed.items() if contrast is not None}
    family = [pair for pair in pairs if pair in measured]
    for pair, p, flip in zip(
        family,
        holm([measured[q].estimate.p for q in family]),
        holm([measured[q].p_flip for q in family]),
    ):
        measured[pair] = replace(measured[pair], p_holm=p, flip_holm=flip)
    rows = [_row(lane, measured.get((name, base)), view) for name, lane in lanes.items()]
    better = FIGURES[view.metric].better
    if len({order for lane in group.lanes for order in lane.orders}) == 1:
        notes.append("One order of the classes: what is said here is said of that order.")
    rows.sort(key=lambda r: (math.isnan(r.estimate.mean), -better * r.estimate.mean, r.name))
    notes += _shared(lanes, base)
    return Table(group.place, base, rows, [measured[pair] for pair in family], notes)


def _row(lane: Lane, contrast: Contrast | None, view: _View) -> Row:
    every = [view.figures(cell) for cell in lane.cells.values()]
    means = {name: float(np.mean([one[name] for one in every])) for name in FIGURES}
    means["seconds"] = float(
        np.median([one["seconds"] for one in every])
    )  # the first of a process is slow
    trials = {cell.trials for cell in lane.cells.values()}
    known = next(iter(trials)) if len(trials) == 1 else None
    return Row(lane.name, over_blocks(view.values(lane))[0], means, contrast, known, lane)


def _contrast(a: Lane, b: Lane, view: _View) -> Contrast | None:
    left, right = (a.name, view.values(a)), (b.name, view.values(b))
    return contrasted(left, right, view.margin, FIGURES[view.metric].better)


def _shared(lanes: Mapping[str, Lane], base: str) -> list[str]:
    """What should be known of blocks: those that are not shared, and tables of them with holes."""
    blocks, uneven, holes = lanes[base].cells.keys(), {}, []
    for name, lane in lanes.items():
        counts = len(lane.cells), len(lane.cells.keys() & blocks)
        if name != base and counts != (len(blocks), len(blocks)):
            uneven.setdefault(counts, []).append(name)
        seeds, orders = len({seed for seed, _ in lane.cells}), len(lane.orders)
        if len(lane.cells) not in (seeds * orders, seeds, orders):
            holes.append(f"{name} ({len(lane.cells)} of {seeds * orders})")
    notes = [
        f"Of {', '.join(names)} there are {there} blocks, of {base} {len(blocks)}: differences are over "
        f"the {both} of both."
        for (there, both), names in uneven.items()
    ]
    if holes:
        notes.append(
            f"Pairs of seed and order are missing: {', '.join(holes)}; such intervals take blocks for "
            "independent, and are too short."
        )
    return notes
