"""Filed: a tensor whose rows lie in a file, for data that fit into no memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

from holdfast.core.row_file import RowFile

LAZY = 8 * 2**20  # bytes: chosen rows that take less are read at once


class FiledTensor(Tensor):
    """A tensor whose rows lie in a `RowFile`: choosing rows reads those rows, and nothing else.

    It is used as any tensor. An index, a slice or a split of rows, other trailing axes, and several of
    one file one after the other stay in the file while they are large (`LAZY`); any other operation
    reads what it is asked of, and is right, but takes the memory. Rows that are not in the file, such
    as stored images beside a task's, are kept as ``tail``.

    Attributes:
        file: the rows' file.
        place: (N,) of each row in the file; from its count on, in the tail.
        tail: (M, *row) rows that are not in the file.
    """

    file: RowFile
    place: Tensor
    tail: Tensor

    @staticmethod
    def __new__(
        cls,
        file: RowFile,
        place: Tensor,
        tail: Tensor | None = None,
        row: Sequence[int] | None = None,
    ):
        """A tensor without memory of its own."""
        shape = (len(place), *(file.row if row is None else row))
        self = Tensor._make_wrapper_subclass(cls, shape, dtype=file.dtype, device="cpu")  # type: ignore[attr-defined]
        self.file, self.place = file, place
        self.tail = torch.empty(0, *file.row, dtype=file.dtype) if tail is None else tail
        return self

    def dense(self) -> Tensor:
        """The same rows in memory."""
        late = self.place >= self.file.count
        if not bool(late.any()):
            return self.file.read(self.place).view(self.shape)
        out = torch.empty(len(self.place), *self.file.row, dtype=self.dtype)
        out[late] = self.tail[self.place[late] - self.file.count]
        out[~late] = self.file.read(self.place[~late])
        return out.view(self.shape)

    def chosen(self, place: Tensor) -> Tensor:
        """The rows at these places of the file, read if they are few."""
        rows = FiledTensor(self.file, place, self.tail, self.shape[1:])
        return rows if rows.nbytes > LAZY else rows.dense()

    @property
    def nbytes(self) -> int:  # type: ignore[override]
        """Of all rows, were they in memory."""
        return self.numel() * self.element_size()

    def __repr__(self, **_: Any) -> str:
        return f"FiledTensor({tuple(self.shape)}, {self.dtype}, {str(self.file.path)!r})"

    def __deepcopy__(self, memo: dict[int, Any]) -> FiledTensor:
        """The same file; its rows do not change."""
        return FiledTensor(self.file, self.place.clone(), self.tail.clone(), self.shape[1:])

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        about = (str(self.file.path), self.file.row, self.dtype)
        return _again, (about, self.place, self.tail, tuple(self.shape[1:]))

    @classmethod
    def __torch_dispatch__(
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Row operations on the places; all others on what is read."""
        lazy = ROW_OPERATIONS.get(func)
        result = NotImplemented if lazy is None else lazy(*args, **(kwargs or {}))
        if result is not NotImplemented:
            return result
        read = tree_map_only(cls, cls.dense, (args, kwargs or {}))
        return func(*read[0], **read[1])


def all_rows(file: RowFile) -> FiledTensor:
    """All rows of a file as a tensor."""
    return FiledTensor(file, torch.arange(file.count))


def dense(x: Tensor) -> Tensor:
    """A tensor in memory, read if its rows lie in a file."""
    return x.dense() if isinstance(x, FiledTensor) else x


def pieces(x: Tensor, size: int = 2**20) -> Iterator[Tensor]:
    """Consecutive rows in memory, about so many numbers at a time.

    >>> [len(piece) for piece in pieces(torch.zeros(5, 4), 8)]
    [2, 2, 1]
    """
    for piece in x.split(max(1, size // max(1, x[:1].numel()))) if x.numel() else ():
        yield dense(piece)


def _again(about: tuple[str, Sequence[int], torch.dtype], *rest: Any) -> FiledTensor:
    return FiledTensor(RowFile(*about), *rest)


def _index(x: FiledTensor, indices: Sequence[Tensor | None]) -> Any:
    if len(indices) != 1 or indices[0] is None:
        return NotImplemented
    return x.chosen(x.place[indices[0].cpu()])


def _slice(
    x: FiledTensor, axis: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> Any:
    return x.chosen(x.place[slice(start, end, step)]) if axis == 0 else NotImplemented


def _select(x: FiledTensor, axis: int, index: int) -> Any:
    return x.chosen(x.place[index][None])[0] if axis == 0 else NotImplemented


def _index_select(x: FiledTensor, axis: int, index: Tensor) -> Any:
    return x.chosen(x.place[index]) if axis == 0 else NotImplemented


def _split(x: FiledTensor, size: Any, axis: int = 0) -> Any:
    if axis:
        return NotImplemented
    return [FiledTensor(x.file, place, x.tail, x.shape[1:]) for place in x.place.split(size)]


def _view(x: FiledTensor, shape: Sequence[int]) -> Any:
    rows, rest = len(x), list(shape[1:])
    if -1 in rest and rows:
        known = math.prod(side for side in rest if side != -1)
        rest[rest.index(-1)] = x.numel() // rows // max(1, known)
    if shape[0] not in (rows, -1) or math.prod(rest) * rows != x.numel():
        return NotImplemented
    return FiledTensor(x.file, x.place, x.tail, rest)


def _same(x: FiledTensor, *_: Any, **__: Any) -> Any:
    return FiledTensor(x.file, x.place, x.tail, x.shape[1:])


def _moved(x: FiledTensor, **kwargs: Any) -> Any:
    """To what it is already."""
    device, dtype = kwargs.get("device"), kwargs.get("dtype")
    here = device is None or torch.device(device).type == "cpu"
    return _same(x) if here and dtype in (None, x.dtype) else NotImplemented


def _cat(tensors: Sequence[Tensor], axis: int = 0) -> Any:
    first = next(x for x in tensors if isinstance(x, FiledTensor))
    files = {id(x.file) for x in tensors if isinstance(x, FiledTensor)}
    if axis or len(files) > 1 or any(x.shape[1:] != first.shape[1:] for x in tensors):
        return NotImplemented
    places, tails, beyond = [], [], first.file.count
    for x in tensors:
        filed = isinstance(x, FiledTensor)
        tail = x.tail if filed else x.view(-1, *first.file.row)
        shift = beyond - first.file.count
        if filed:
            places.append(torch.where(x.place >= first.file.count, x.place + shift, x.place))
        else:
            places.append(torch.arange(beyond, beyond + len(x)))
        tails.append(tail)
        beyond += len(tail)
    return FiledTensor(first.file, torch.cat(places), torch.cat(tails), first.shape[1:])


_ATEN = torch.ops.aten
ROW_OPERATIONS: dict[Any, Callable[..., Any]] = {
    _ATEN.index.Tensor: _index,
    _ATEN.slice.Tensor: _slice,
    _ATEN.select.int: _select,
    _ATEN.index_select.default: _index_select,
    _ATEN.split.Tensor: _split,
    _ATEN.split_with_sizes.default: _split,
    _ATEN.view.default: _view,
    _ATEN._unsafe_view.default: _view,
    _ATEN.reshape.default: _view,
    _ATEN.detach.default: _same,
    _ATEN.alias.default: _same,
    _ATEN._to_copy.default: _moved,
    _ATEN.cat.default: _cat,
}
