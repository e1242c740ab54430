"""Nested data as tensors and JSON, in one safetensors file: nothing in it can be executed."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from holdfast.core.errors import StoreError
from holdfast.store.atomic import atomic_write

Tensors = dict[str, Tensor]


def flatten(thing: Any) -> tuple[Tensors, Any]:
    """Tensors named by their paths, and JSON data that says where they stand.

    Taken are dicts, lists, tuples, tensors, strings, booleans, numbers and None; tuples, keys that
    are no strings and floats that JSON lacks are marked, so that `unflatten` gives back equals.
    Equal tensors are kept once.

    Raises:
        TypeError: for anything else.

    >>> tensors, data = flatten({"a": (1, 2.5), "b": [torch.ones(2), torch.ones(2)]})
    >>> list(tensors), data["a"], data["b"]
    (['b.0'], {'$tuple': [1, 2.5]}, [{'$tensor': 'b.0'}, {'$tensor': 'b.0'}])
    """
    flat = _Flat()
    return flat.tensors, flat.encoded(thing, "")


class _Flat:
    """Tensors by name, and names by content."""

    def __init__(self):
        self.tensors: Tensors = {}
        self.names: dict[str, str] = {}

    def encoded(self, thing: Any, path: str) -> Any:
        if isinstance(thing, Tensor):
            return {"$tensor": self.named(thing.detach().cpu().contiguous(), path or "it")}
        if isinstance(thing, Mapping):
            plain = all(isinstance(key, str) and not key.startswith("$") for key in thing)
            items = [(key, self._inner(path, key, value)) for key, value in thing.items()]
            return dict(items) if plain else {"$items": list(map(list, items))}
        if isinstance(thing, (list, tuple)):
            values = [self._inner(path, place, value) for place, value in enumerate(thing)]
            return {"$tuple": values} if isinstance(thing, tuple) else values
        if isinstance(thing, float) and not math.isfinite(thing):
            return {"$float": str(thing)}
        if thing is None or isinstance(thing, (str, bool, int, float)):
            return thing
        raise TypeError(f"{type(thing).__name__} is no plain data")

    def _inner(self, path: str, key: object, value: Any) -> Any:
        return self.encoded(value, f"{path}.{key}" if path else str(key))

    def named(self, tensor: Tensor, path: str) -> str:
        """The name of a tensor: that of an equal one, or its path."""
        content = _digest({"": tensor}, "")
        if content not in self.names:
            name = path if path not in self.tensors else f"{path}#{len(self.tensors)}"
            self.names[content], self.tensors[name] = name, tensor.clone()
        return self.names[content]


def unflatten(tensors: Mapping[str, Tensor], data: Any) -> Any:
    """What was flattened.

    Raises:
        ValueError: if the data name a tensor that is missing or are marked in an unknown way.

    >>> unflatten(*flatten({"a": (1, float("inf")), 3: [None]}))
    {'a': (1, inf), 3: [None]}
    """
    if isinstance(data, list):
        return [unflatten(tensors, value) for value in data]
    if not isinstance(data, dict):
        return data
    mark = next((key for key in data if key.startswith("$")), None)
    if mark is None:
        return {key: unflatten(tensors, value) for key, value in data.items()}
    value = data[mark]
    if mark == "$tensor" and value in tensors:
        return tensors[value]
    if mark == "$tuple":
        return tuple(unflatten(tensors, inner) for inner in value)
    if mark == "$items":
        return {key: unflatten(tensors, inner) for key, inner in value}
    if mark == "$float":
        return float(value)
    raise ValueError(f"{mark} {value!r} cannot be read")


def write(path: Path, thing: Any) -> None:
    """Nested data as one file, whole or not at all; with a digest over everything it holds.

    Raises:
        StoreError: if it cannot be written; what stood there stays.
    """
    tensors, data = flatten(thing)
    text = json.dumps(data, allow_nan=False)
    notes = {"data": text, "sha256": _digest(tensors, text)}
    try:
        atomic_write(path, lambda to: to.write_bytes(save(tensors, notes)))
    except OSError as error:
        raise StoreError(
            f"{path} cannot be written ({error.strerror or error}): what stood there before stays."
        ) from None


def sha256(path: Path) -> str:
    """Of a file's bytes, read piece by piece."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read(path: Path) -> Any:
    """The nested data of a file that `write` made; checked before anything of it is used.

    Raises:
        StoreError: if the file is missing, truncated, altered, or of another kind.
    """
    with _refusing(path), safe_open(path, "pt") as file:
        notes = file.metadata() or {}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no dict
        if _digest(tensors, notes["data"]) != notes["sha256"]:
            raise ValueError("its content is not what was written")
        return unflatten(tensors, json.loads(notes["data"]))


def shapes(path: Path, *keys: str) -> dict[str, tuple[int, ...]]:
    """Shapes that a file declares for the tensors of a dict within its data; no tensor is read.

    Raises:
        StoreError: as `read`, or if there is no such dict of tensors.
    """
    with _refusing(path), safe_open(path, "pt") as file:
        data = json.loads((file.metadata() or {})["data"])
        for key in keys:
            data = data[key]
        named = {name: value["$tensor"] for name, value in data.items()}
        return {n: tuple(file.get_slice(place).get_shape()) for n, place in named.items()}


@contextmanager
def _refusing(path: Path) -> Iterator[None]:
    """Whatever a strange file raises, as one error that names it."""
    try:
        yield
    except OSError as error:
        raise StoreError(f"{path} cannot be read ({error.strerror or error}).") from None
    except (
        SafetensorError,
        LookupError,
        ValueError,
        TypeError,
        AttributeError,
        RecursionError,
    ) as e:
        reason = " ".join(str(e).split())[:200]
        raise StoreError(f"{path} is damaged or no file of holdfast ({reason}).") from None


def _digest(tensors: Tensors, text: str) -> str:
    total = hashlib.sha256(text.encode())
    for name, tensor in sorted(tensors.items()):
        total.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        if tensor.numel():
            total.update(tensor.view(-1).view(torch.uint8).numpy().tobytes())
    return total.hexdigest()
