"""What every law needs: a sentence for what does not hold, and where two states differ."""

from __future__ import annotations

import copy
import pickle
import random
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from holdfast.core.errors import ProtocolError
from holdfast.core.rows import Rows
from holdfast.memory.meter import forbid_images
from holdfast.store import serialize

Module = TypeVar("Module", bound=nn.Module)


def expect(holds: bool, sentence: str) -> None:
    """Raise AssertionError with the sentence unless something holds."""
    if not holds:
        raise AssertionError(sentence)


def difference(
    a: Any, b: Any, skip: Collection[str] = (), path: str = "it", within: float = 0.0
) -> str:
    """Where nested data differ first, as a path; empty if they are equal bit for bit.

    Args:
        a: nested data.
        b: others.
        skip: names that are not compared.
        path: what the data are called.
        within: numbers may differ by so much, in units of their tensor's largest, or of 1.

    >>> difference({"a": [torch.ones(2), 1]}, {"a": [torch.ones(2), 2]})
    'it.a.1'
    """
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        same = a.shape == b.shape and a.dtype == b.dtype
        return "" if same and _equal(_no_nan(a), _no_nan(b), within) else path
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        if {str(name) for name in a} != {str(name) for name in b}:
            return path
        pairs = {str(name): (a[name], b[name]) for name in a if name in b and name not in skip}
    elif isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        if len(a) != len(b):
            return path
        pairs = {str(place): pair for place, pair in enumerate(zip(a, b))}
    else:
        near = False
        if isinstance(a, float) and isinstance(b, float):
            near = abs(a - b) <= within * max(1.0, abs(a))
        return "" if near or bool(a == b) or (a != a and b != b) else path
    inner = (difference(*pair, skip, f"{path}.{name}", within) for name, pair in pairs.items())
    return next((place for place in inner if place), "")


def _equal(a: Tensor, b: Tensor, within: float) -> bool:
    if not within or not a.is_floating_point() or not a.numel():
        return bool(torch.equal(a, b))
    return float((a - b).abs().max()) <= within * max(1.0, float(a.abs().max()))


def _no_nan(x: Tensor) -> Tensor:
    return x.nan_to_num(-12345.0) if x.is_floating_point() else x


def weights(module: nn.Module) -> dict[str, Any]:
    """A copy of a module's state."""
    return copy.deepcopy(dict(module.state_dict()))


def through_disk(state: Any, name: str) -> Any:
    """A state as it comes back from a file; what a file cannot hold fails the law."""
    try:
        return serialize.unflatten(*serialize.flatten(state))
    except TypeError as error:
        raise AssertionError(
            f"the state of {name} must be plain data and tensors: {error}."
        ) from None


def copies(part: Module, name: str) -> Iterator[tuple[str, Module]]:
    """The part after a pickle and as a deep copy, with what was done to it."""
    try:
        yield "a pickle", pickle.loads(pickle.dumps(part))
        yield "a deep copy", copy.deepcopy(part)
    except (TypeError, AttributeError, pickle.PicklingError) as error:
        raise AssertionError(
            f"{name} must be picklable, for processes and models in use: {error}."
        ) from None


@contextmanager
def global_chance_untouched(name: str) -> Iterator[None]:
    """The process's generators of torch, numpy and Python must be left as they were.

    Python's own is not looked at while beartype is loaded, which draws from it to check types.
    """

    def states() -> list[Any]:
        python = None if "beartype" in sys.modules else random.getstate()
        return [torch.get_rng_state(), list(np.random.get_state()), python]  # noqa: NPY002

    def plain(state: list[Any]) -> list[Any]:
        return [state[0], [torch.as_tensor(state[1][1].copy()), *state[1][2:]], state[2]]

    before = plain(states())
    yield
    place = difference(before, plain(states()))
    which = {"0": "torch", "1": "numpy", "2": "random"}.get(place.split(".")[1] if place else "")
    expect(
        not place, f"{name} moved the global generator of {which}: draw from the one it is given."
    )


def keeps_no_image(parts: Mapping[str, object], rows: Rows) -> None:
    """No part may keep a row of a task (`forbid_images`)."""
    try:
        forbid_images(parts, rows, "strict")
    except ProtocolError as error:
        raise AssertionError(str(error)) from None
