"""The memory meter: what is held of the past, found by walking every tensor that can be reached."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from types import CellType, FunctionType, MethodType, ModuleType

import numpy as np
import torch
from torch import Tensor, nn

from holdfast.errors import ProtocolError
from holdfast.learner.prototype import Frame
from holdfast.stream.rows import Rows


@dataclass(frozen=True)
class Holdings:
    """What is held when a task has ended.

    Attributes:
        images: different stored samples.
        floats: numbers kept about the data: statistics, readout weights, noted columns.
        bytes: of the images, their labels, and the floats.
        past_floats: weights of the kept past network, named apart: they are a model, not data.
        past_bytes: of those.
    """

    images: int = 0
    floats: int = 0
    bytes: int = 0
    past_floats: int = 0
    past_bytes: int = 0


def reachable(
    thing: object, path: str = "", _seen: set[int] | None = None
) -> Iterator[tuple[str, object]]:
    """Every tensor and table of rows that can be reached from an object, with the path to it.

    Walks attributes, containers, and what functions close over or default to; arrays count as
    tensors. A frame is left out: it is made from a seed and knows nothing of any data.
    """
    seen = set() if _seen is None else _seen
    leaf = (str, bytes, int, float, type, ModuleType, Frame)
    if id(thing) in seen or isinstance(thing, leaf) or thing is None:
        return
    seen.add(id(thing))
    if isinstance(thing, (Tensor, Rows)):
        yield path, thing
        return
    if isinstance(thing, np.ndarray) and thing.dtype.kind in "buif":
        yield path, torch.tensor(thing.copy())
        return
    for name, inner in _inside(thing):
        yield from reachable(inner, f"{path}.{name}" if path else name, seen)


def _inside(thing: object) -> Iterator[tuple[str, object]]:
    if isinstance(thing, Mapping):
        yield from ((str(name), inner) for name, inner in thing.items())
    elif isinstance(thing, (list, tuple, set, frozenset, deque)):
        yield from ((str(place), inner) for place, inner in enumerate(thing))
    elif isinstance(thing, partial):
        yield from (("func", thing.func), ("args", thing.args), ("keywords", thing.keywords))
    elif isinstance(thing, MethodType):
        yield "self", thing.__self__
    else:
        if isinstance(thing, FunctionType):
            yield from (("defaults", thing.__defaults__), ("keywords", thing.__kwdefaults__))
            for place, cell in enumerate(thing.__closure__ or ()):
                yield f"closure{place}", _contents(cell)
        for kind in type(thing).__mro__:
            slots = vars(kind).get("__slots__", ())
            for name in (slots,) if isinstance(slots, str) else slots:
                yield name, getattr(thing, name, None)
        yield from vars(thing).items() if hasattr(thing, "__dict__") else ()


def _contents(cell: CellType) -> object:
    try:
        return cell.cell_contents
    except ValueError:  # nothing is in it yet
        return None


def measure(parts: Mapping[str, object], past: nn.Module | None) -> Holdings:
    """Weigh what the parts of a method hold, and the past network apart from it."""
    images: set[int] = set()
    floats = size = 0
    for _, held in reachable(parts):
        if isinstance(held, Rows):
            images |= set(held.key.tolist())
            columns = [held.x, held.y, held.task, held.key, *held.extra.values()]
            floats += sum(column.numel() for column in held.extra.values())
            size += sum(column.nbytes for column in columns)
        elif isinstance(held, Tensor):
            floats += held.numel()
            size += held.nbytes
    kept = list(past.state_dict().values()) if past is not None else []
    return Holdings(
        len(images), floats, size, sum(t.numel() for t in kept), sum(t.nbytes for t in kept)
    )


def forbid_images(
    parts: Mapping[str, object], rows: Rows, protocol: str, given: Rows | None = None
) -> None:
    """Stop if any part holds samples when a task ends.

    Samples are: a table of rows, any uint8 tensor, a tensor whose last axes are an image's, and a
    tensor of any other shape in which one of the task's own inputs can be found again.

    Args:
        parts: what must hold none, by name; the declared memory is not among them.
        rows: the task's own training rows.
        protocol: as the message should name it.
        given: a table that a term declared and the protocol has allowed.

    Raises:
        ProtocolError: naming the part and what it holds.
    """
    samples = Samples(rows.x)
    for path, held in reachable(parts):
        if given is not None and held is given:
            continue
        if isinstance(held, Rows):
            what = f"{held.images} samples"
        elif isinstance(held, Tensor) and samples.held_in(held):
            what = f"samples in a tensor of shape {tuple(held.shape)}"
        else:
            continue
        raise ProtocolError(
            f"{path} keeps {what} when a task ends, which the protocol {protocol} does not allow: "
            "store statistics instead, or declare --protocol buffer."
        )


class Samples:
    """Inputs by which a tensor that holds some of them can be recognised, in any layout of rows.

    Features of fewer than 8 numbers are looked for only in tables as wide as they are, and more
    exactly: among thousands of statistics a pair of numbers close to one of theirs is no evidence.

    Args:
        x: (N, ...) uint8 pixels or float features.
    """

    def __init__(self, x: Tensor):
        self.shape, self.rows = x.shape[1:], x.flatten(1)
        width = self.rows.shape[1]
        self.narrow = width < 8
        self.direction = torch.linspace(-1, 1, width, dtype=torch.float64, device=x.device).cos()
        marks = [piece.double() @ self.direction for piece in self.rows.split(1024)]
        self.marks, self.order = torch.cat(marks).sort()

    def held_in(self, held: Tensor) -> bool:
        """Whether a tensor looks like inputs, or contains one of these, raw or divided by 255."""
        if not held.numel() or not len(self.rows):
            return False
        if held.dtype == torch.uint8 or (len(self.shape) == 3 and held.shape[-3:] == self.shape):
            return True
        if held.numel() % self.rows.shape[1] or held.dtype == torch.bool:
            return False
        width = self.rows.shape[1]
        if self.narrow and (width < 2 or held.ndim < 2 or held.shape[-1] != width):
            return False
        rows = held.detach().to(self.rows.device).reshape(-1, width).double()
        told = (rows != 0).sum(1) >= min(3, width)
        rows = rows[told & (rows.std(1) > 0)]  # a blank image identifies nobody
        return len(rows) > 0 and any(self._found(rows * unit) for unit in (1, 255))

    def _found(self, rows: Tensor) -> bool:
        """By one projection for the nearest inputs, then in full against those."""
        place = torch.searchsorted(self.marks, rows @ self.direction).clamp_max(len(self.marks) - 1)
        for neighbour in (place, (place - 1).clamp_min(0)):
            difference = self.rows[self.order[neighbour]].double() - rows
            close = (1e-6 if self.narrow else 1e-3) * rows.abs().amax(1)
            if bool((difference.abs().amax(1) < close).any()):
                return True
        return False
