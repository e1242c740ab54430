"""Rows: a table of samples, the one form in which data travels through the library."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace

import torch
from jaxtyping import Bool, Int, Shaped
from torch import Tensor

from holdfast.core.filed import FiledTensor
from holdfast.core.numerics import to_device


@dataclass(frozen=True)
class Rows:
    """A table of samples. A view of a sample is a row; views of one sample share its key.

    Attributes:
        x: (N, C, H, W) uint8 pixels at rest, float in [0, 1] as views; or (N, D) float32 or
            float64 features. Pixels may lie in a file (`FiledTensor`).
        y: (N,) int64 class, counted in order of arrival.
        task: (N,) int64 task the sample came with.
        key: (N,) int64 identity of the sample within its stream.
        extra: columns a memory noted beside a sample, for example ``"logits"``.
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


def cat(tables: Sequence[Rows]) -> Rows:
    """One table from several; only columns that all of them have are kept.

    >>> one = Rows(torch.zeros(2, 3), torch.tensor([0, 1]), torch.zeros(2).long(), torch.arange(2))
    >>> len(cat([one, one])), cat([one, one]).images
    (4, 2)
    """
    common = set.intersection(*(set(table.extra) for table in tables))
    columns = {
        name: torch.cat([getattr(table, name) for table in tables])
        for name in ("x", "y", "task", "key")
    }
    return Rows(
        **columns, extra={n: torch.cat([t.extra[n] for t in tables]) for n in sorted(common)}
    )
