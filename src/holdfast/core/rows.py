"""Rows: a table of samples, the one form in which data travels through the library."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from holdfast.core.errors import DataError
from holdfast.core.filed import FiledTensor
from holdfast.core.numerics import to_device

WEIGHT = "weight"  # the column that says for how many rows a row stands


@dataclass(frozen=True)
class Rows:
    """A table of samples. A view of a sample is a row; views of one sample share its key.

    Attributes:
        x: (N, C, H, W) uint8 pixels at rest, float in [0, 1] as views; or (N, D) float32 or
            float64 features. Pixels may lie in a file (`FiledTensor`).
        y: (N,) int64 class, counted in order of arrival.
        task: (N,) int64 task the sample came with.
        key: (N,) int64 identity of the sample within its stream.
        extra: columns a memory noted beside a sample, for example ``"logits"``; ``"weight"`` says
            for how many rows a row stands (`row_weights`).
    """

    x: Shaped[Tensor, "n ..."]
    y: Int[Tensor, " n"]
    task: Int[Tensor, " n"]
    key: Int[Tensor, " n"]
    extra: Mapping[str, Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, index: Int[Tensor, " m"] | Bool[Tensor, " n"] | slice) -> Rows:
        """The chosen rows, in the order of the index."""
        extra = {name: column[index] for name, column in self.extra.items()}
        x = _chosen(self.x, index, self.y)
        return Rows(x, self.y[index], self.task[index], self.key[index], extra)

    def to(self, device: torch.device | str) -> Rows:
        """The same rows on a device; inputs in a file stay there, and follow as they are chosen."""
        columns = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "extra"}
        moved = {
            name: column if isinstance(column, FiledTensor) else to_device(column, device)
            for name, column in columns.items()
        }
        extra = {name: to_device(column, device) for name, column in self.extra.items()}
        return Rows(**moved, extra=extra)

    def with_x(self, x: Tensor) -> Rows:
        """The same samples with other inputs (for example a view of each)."""
        return replace(self, x=x)

    def repeat(self, views: int) -> Rows:
        """The table ``views`` times over, one after the other: row i and row i + N are one sample."""
        return self if views == 1 else cat([self] * views)

    def batches(self, size: int) -> Iterator[Rows]:
        """Consecutive pieces of at most ``size`` rows."""
        for start in range(0, len(self), size):
            yield self[slice(start, start + size)]

    @property
    def images(self) -> int:
        """How many different samples the table holds."""
        return int(self.key.unique().numel())


def _chosen(x: Tensor, index: Tensor | slice, beside: Tensor) -> Tensor:
    """The chosen inputs, on the device of the other columns."""
    return x[index].to(beside.device) if isinstance(x, FiledTensor) else x[index]


def row_weights(rows: Rows) -> Float[Tensor, " n"] | None:
    """(N,) for how many rows each one stands; None where each stands for itself.

    Weights of one say nothing, so they are None as well: what is computed then is the same to the bit.

    Args:
        rows: perhaps with a column ``"weight"``.

    Raises:
        DataError: for weights that are not one number a row, at least 0 and not all of them 0.

    >>> rows = Rows(torch.zeros(2, 3), torch.tensor([0, 1]), torch.zeros(2).long(), torch.arange(2))
    >>> row_weights(rows), row_weights(replace(rows, extra={"weight": torch.tensor([2.0, 1.0])}))
    (None, tensor([2., 1.]))
    """
    weight = rows.extra.get(WEIGHT)
    if weight is None or not len(rows):
        return None
    if weight.shape != rows.y.shape:
        raise DataError(
            f"the column weight of {len(rows)} rows has the shape {tuple(weight.shape)}: it must have "
            f"one number a row, ({len(rows)},)."
        )
    if bool((weight == 1).all()):
        return None
    if not bool(((weight >= 0) & weight.isfinite()).all()) or not bool((weight > 0).any()):
        raise DataError(
            "the column weight must hold finite numbers of at least 0, not all of them 0."
        )
    return weight


def cat(tables: Sequence[Rows]) -> Rows:
    """One table from several; only columns that all of them have are kept, but weights where any has them.

    A row of a table without weights has the weight 1.

    >>> one = Rows(torch.zeros(2, 3), torch.tensor([0, 1]), torch.zeros(2).long(), torch.arange(2))
    >>> len(cat([one, one])), cat([one, one]).images
    (4, 2)
    """
    tables = _all_weighed(tables)
    common = set.intersection(*(set(table.extra) for table in tables))
    columns = {
        name: torch.cat([getattr(table, name) for table in tables])
        for name in ("x", "y", "task", "key")
    }
    return Rows(
        **columns, extra={n: torch.cat([t.extra[n] for t in tables]) for n in sorted(common)}
    )


def _all_weighed(tables: Sequence[Rows]) -> Sequence[Rows]:
    """With weights of 1 for the tables that lack them, if any has them."""
    like = next((table.extra[WEIGHT] for table in tables if WEIGHT in table.extra), None)
    if like is None:
        return tables
    return [
        table
        if WEIGHT in table.extra
        else replace(table, extra={**table.extra, WEIGHT: like.new_ones(len(table))})
        for table in tables
    ]
