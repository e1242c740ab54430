"""A walk over everything that can be reached from an object: tensors, tables of rows, packed numbers."""

from __future__ import annotations

import array
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import CellType, FunctionType, MethodType, ModuleType
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from holdfast.core.rows import Rows
from holdfast.curvature.matrix import Matrix
from holdfast.learner.prototype import Frame
from holdfast.statistics.class_statistics import Statistics
from holdfast.statistics.scatter import Scatter

FEWEST = 8  # numbers in a list that is looked at
LEAF = (str, int, float, complex, type, ModuleType, Frame, np.generic)
PACKED = (bytes, bytearray, memoryview)
AGGREGATES = (Statistics, Scatter, Matrix)


class Reached(NamedTuple):
    """A thing that was reached.

    Attributes:
        path: to it.
        value: a tensor, a table of rows, or bytes.
        aggregate: whether it is part of statistics or a curvature, which are sums over rows.
        packed: whether it was no tensor and no array, but numbers in a list, or bytes.
    """

    path: str
    value: Tensor | Rows | bytes
    aggregate: bool
    packed: bool


def reachable(
    thing: object, path: str = "", skip: Callable[[object], bool] = lambda thing: False
) -> Iterator[tuple[str, object]]:
    """Every tensor and table of rows that can be reached from an object, with the path to it.

    Walks attributes, containers, and what functions close over or default to; arrays count as
    tensors. A fixed frame is left out: it is made from a seed and knows nothing of any data.

    Args:
        thing: where to begin.
        path: to it.
        skip: things that are not entered.
    """
    yield from ((r.path, r.value) for r in walk(thing, path, skip) if not r.packed)


def walk(
    thing: object,
    path: str = "",
    skip: Callable[[object], bool] = lambda thing: False,
    _seen: dict[int, object] | None = None,
    _aggregate: bool = False,
) -> Iterator[Reached]:
    """The same with numbers in lists and bytes; the arguments are those of `reachable`."""
    seen = {} if _seen is None else _seen
    if id(thing) in seen or thing is None or _is_leaf(thing) or skip(thing):
        return
    seen[id(thing)] = thing  # held, so that no other thing gets its id meanwhile
    if isinstance(thing, (Tensor, Rows)):
        yield Reached(path, thing, _aggregate, False)
        return
    if isinstance(thing, PACKED):
        yield Reached(path, bytes(thing), _aggregate, True)
        return
    numbers = _numbers(thing)
    if numbers is not None:
        listed = isinstance(thing, (list, tuple, deque, Mapping))
        yield Reached(path, numbers, _aggregate, listed)
        return
    aggregate = _aggregate or isinstance(thing, AGGREGATES) or is_derived(thing)
    for name, inner in _inside(thing):
        yield from walk(inner, f"{path}.{name}" if path else name, skip, seen, aggregate)


def _is_leaf(thing: object) -> bool:
    """Whether nothing of any data can be inside; a frame that the data move is no leaf."""
    return isinstance(thing, LEAF) and not getattr(type(thing), "moves", False)


def is_derived(thing: object) -> bool:
    """Whether it says that it follows from what is stored beside it, and so counts once."""
    return getattr(type(thing), "derived", False) is True


def _numbers(thing: object) -> Tensor | None:
    """An array, or a container of numbers alone, as a tensor; None for anything else."""
    kind = type(thing)
    if isinstance(thing, Mapping):
        thing = list(thing.values())
    if isinstance(thing, (list, tuple, deque)):
        if not _all_numbers(thing):
            return None
        thing = list(thing)
    elif not (
        isinstance(thing, (np.ndarray, array.array))
        or hasattr(kind, "__array__")
        or hasattr(kind, "__array_interface__")
    ):
        return None
    try:
        values = np.asarray(thing)
    except Exception:  # a strange object may refuse in any way: then its attributes are walked
        return None
    return torch.tensor(values.copy()) if values.dtype.kind in "buif" and values.size else None


def _all_numbers(thing: list | tuple | deque) -> bool:
    """Whether these are numbers, or lists of numbers of one length, to any depth."""
    if not len(thing):
        return False
    first = thing[0]
    if isinstance(first, (list, tuple)):
        same = all(isinstance(p, (list, tuple)) and len(p) == len(first) for p in thing)
        return same and all(_all_numbers(piece) or len(piece) < FEWEST for piece in thing) and all(
            isinstance(v, (int, float, list, tuple)) for piece in thing for v in piece
        )  # fmt: skip
    return len(thing) >= FEWEST and all(isinstance(v, (int, float, np.number)) for v in thing)


def _inside(thing: object) -> Iterator[tuple[str, object]]:
    if isinstance(thing, Mapping):
        yield from ((str(name), inner) for name, inner in list(thing.items()))
    elif isinstance(thing, (list, tuple, set, frozenset, deque)):
        yield from ((str(place), inner) for place, inner in enumerate(thing))
    elif isinstance(thing, partial):
        yield from (("func", thing.func), ("args", thing.args), ("keywords", thing.keywords))
    elif isinstance(thing, MethodType):
        yield "self", thing.__self__
    elif isinstance(thing, np.ndarray):
        yield from ((str(i), v) for i, v in enumerate(thing.flat) if thing.dtype.kind == "O")
    else:
        yield from _attributes(thing)


def _attributes(thing: object) -> Iterator[tuple[str, object]]:
    if isinstance(thing, FunctionType):
        yield from (("defaults", thing.__defaults__), ("keywords", thing.__kwdefaults__))
        for place, cell in enumerate(thing.__closure__ or ()):
            yield f"closure{place}", _contents(cell)
    for kind in type(thing).__mro__:
        slots = vars(kind).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            yield name, getattr(thing, name, None)
    yield from list(vars(thing).items()) if hasattr(thing, "__dict__") else ()


def _contents(cell: CellType) -> object:
    try:
        return cell.cell_contents
    except ValueError:  # nothing is in it yet
        return None
