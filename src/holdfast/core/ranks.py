"""Ranks: the processes that learn together, and the few sums by which they do what one would do.

Every rank has all rows, but passes only its share of a batch through the network. What the network says
of the others' rows comes from them, with its gradient (`Ranks.gathered`), so that each rank computes the
loss of the whole batch, whatever the loss is. The mean of the ranks' gradients is then that of one
process: of the rows a rank does not have it gets none, and the others' count as often as there are ranks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch import distributed as dist

from holdfast.core.errors import DeviceError

T = TypeVar("T")
_current: Ranks | None = None


class Ranks:
    """This process among those that learn together.

    Args:
        rank: its number; the first, 0, alone writes.
        size: how many there are.
        device: on which numbers travel.

    Attributes:
        sharing: of how many rows a pass through a network has a share just now; 0 for all of them.
    """

    def __init__(self, rank: int, size: int, device: torch.device | None = None):
        self.rank, self.size = rank, size
        self.device = device or torch.device("cpu")
        self.sharing = 0

    def share(self, rows: int) -> slice | None:
        """The rows of so many that are this rank's; None where they are so few that every rank does all.

        Batch norm needs two rows, so each has two at least.
        """
        return None if rows < 2 * self.size else self._of(rows, self.rank)

    def _of(self, rows: int, rank: int) -> slice:
        return slice(rows * rank // self.size, rows * (rank + 1) // self.size)

    def shares(self, rows: int) -> list[int]:
        """How many of so many rows each rank has."""
        return [len(range(rows)[self._of(rows, rank)]) for rank in range(self.size)]

    def gathered(self, columns: Sequence[Any], rows: int) -> list[Any]:
        """All ranks' rows of some columns, in order, from each rank's share; differentiable.

        Args:
            columns: (share, ...) of this rank, or tuples of such; None stays None.
            rows: how many there are in all.
        """
        there = list(_tensors(columns))
        if not there:
            return list(columns)
        return _filled(list(columns), iter(_Gathered.apply(self, rows, *there)))

    def gather(self, columns: Sequence[Tensor], rows: int) -> list[Tensor]:
        """The same without gradient: one message for all columns."""
        kind = columns[0].dtype
        for column in columns[1:]:
            kind = torch.promote_types(kind, column.dtype)
        flat = torch.cat([column.flatten(1).to(kind) for column in columns], 1)
        sizes = self.shares(rows)
        padded = flat.new_zeros(max(sizes), flat.shape[1])
        padded[: len(flat)] = flat
        pieces = [torch.empty_like(padded) for _ in sizes]
        with talking():
            dist.all_gather(pieces, padded)
        whole = torch.cat([piece[:size] for piece, size in zip(pieces, sizes, strict=True)])
        widths = [column[0].numel() for column in columns]
        return [
            part.reshape(rows, *column.shape[1:]).to(column.dtype)
            for part, column in zip(whole.split(widths, 1), columns, strict=True)
        ]

    def all(self, tensor: Tensor) -> list[Tensor]:
        """What each rank has of a tensor of one shape, in their order."""
        pieces = [torch.empty_like(tensor) for _ in range(self.size)]
        with talking():
            dist.all_gather(pieces, tensor)
        return pieces

    def sum(self, tensors: Iterable[Tensor]) -> None:
        """Add up each tensor over the ranks, in place: one message a type."""
        kinds: dict[torch.dtype, list[Tensor]] = {}
        for tensor in tensors:
            kinds.setdefault(tensor.dtype, []).append(tensor)
        for some in kinds.values():
            flat = torch.cat([tensor.detach().flatten() for tensor in some])
            with talking():
                dist.all_reduce(flat)
            for tensor, part in zip(some, flat.split([t.numel() for t in some]), strict=True):
                tensor.detach().copy_(part.view(tensor.shape))

    def mean(self, tensors: Iterable[Tensor]) -> None:
        """The mean of each tensor over the ranks, in place."""
        tensors = list(tensors)
        self.sum(tensors)
        for tensor in tensors:
            tensor.detach().div_(self.size)

    def from_first(self, thing: T) -> T:
        """What rank 0 has, plain data with tensors; the others give anything."""
        box: list[Any] = [thing if self.rank == 0 else None]
        with talking():
            dist.broadcast_object_list(box, src=0, device=self.device)
        return box[0]

    @contextmanager
    def parted(self, rows: int) -> Iterator[None]:
        """Inside, a pass through a network has this rank's share of so many rows."""
        self.sharing = rows
        try:
            yield
        finally:
            self.sharing = 0


class _Gathered(torch.autograd.Function):
    """All ranks' rows forward; backward this rank's part of the gradient, as often as there are ranks."""

    @staticmethod
    def forward(ctx: Any, ranks: Ranks, rows: int, *columns: Tensor) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)  # what no loss reads stays without gradient
        ctx.mine, ctx.size = ranks._of(rows, ranks.rank), ranks.size
        return tuple(ranks.gather(columns, rows))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Any, ...]:  # type: ignore[override]
        mine = (None if g is None else g[ctx.mine] * ctx.size for g in gradients)
        return (None, None, *mine)


def current() -> Ranks | None:
    """The ranks of this process; None where it learns alone."""
    return _current


@contextmanager
def together(ranks: Ranks | None) -> Iterator[None]:
    """Inside, whatever this process learns it learns with these ranks; with None alone."""
    global _current
    before, _current = _current, ranks
    try:
        yield
    finally:
        _current = before


def added(rows: int, work: Callable[[slice], T]) -> T:
    """What work makes of all rows, a sum over them: each rank takes some, and the results are added.

    Args:
        rows: how many there are.
        work: of some rows, in tensors, or lists and dicts of them.

    >>> added(3, lambda some: torch.arange(3)[some].sum())
    tensor(3)
    """
    ranks = _current
    share = None if ranks is None else ranks.share(rows)
    if ranks is None or share is None:
        return work(slice(0, rows))
    result = work(share)
    ranks.sum(_tensors(result))
    return result


def joined(rows: int, work: Callable[[slice], T]) -> T:
    """What work says of all rows, a tuple of columns: each rank asks it of some, and tells the others.

    Args:
        rows: how many there are.
        work: of some rows; a tuple, perhaps named, of (n, ...) tensors, tuples of them, or None. No
            gradient flows.
    """
    ranks = _current
    share = None if ranks is None else ranks.share(rows)
    if ranks is None or share is None:
        return work(slice(0, rows))
    columns: Any = work(share)
    return _filled(columns, iter(ranks.gather(list(_tensors(columns)), rows)))


def _filled(thing: Any, whole: Iterator[Tensor]) -> Any:
    """The same nested lists and tuples, with the next tensor in place of each."""
    if isinstance(thing, Tensor):
        return next(whole)
    if not isinstance(thing, (list, tuple)):
        return thing
    items = [_filled(item, whole) for item in thing]
    return type(thing)(*items) if hasattr(thing, "_fields") else type(thing)(items)


def _tensors(thing: Any) -> Iterator[Tensor]:
    if isinstance(thing, Tensor):
        yield thing
    elif isinstance(thing, dict):
        for name in sorted(thing):  # the same order on all ranks
            yield from _tensors(thing[name])
    elif isinstance(thing, (list, tuple)):
        for item in thing:
            yield from _tensors(item)


@contextmanager
def talking() -> Iterator[None]:
    """Around a message: another process that has ended is one sentence (DeviceError)."""
    try:
        yield
    except RuntimeError as error:
        line = str(error).partition("\n")[0]
        raise DeviceError(
            f"another of the processes that learn together has ended ({line})."
        ) from error
