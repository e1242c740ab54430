"""Nested data as tensors and JSON, in one safetensors file: nothing in it can be executed."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from holdfast.errors import StoreError
from holdfast.store.whole import whole

Tensors = dict[str, Tensor]


def flatten(thing: Any) -> tuple[Tensors, Any]:
    """Tensors by name, and JSON data that says where they stand.

    Taken are dicts, lists, tuples, tensors, strings, booleans, numbers and None; tuples, keys that
    are no strings and floats that JSON lacks are marked, so that `unflatten` gives back equals.

    Raises:
        TypeError: for anything else.

    >>> tensors, data = flatten({"a": (1, 2.5), 3: [torch.ones(2)]})
    >>> list(tensors), data
    (['t0'], {'$items': [['a', {'$tuple': [1, 2.5]}], [3, [{'$tensor': 't0'}]]]})
    """
    tensors: Tensors = {}
    return tensors, _encoded(thing, tensors)


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


def _encoded(thing: Any, tensors: Tensors) -> Any:
    if isinstance(thing, Tensor):
        name = f"t{len(tensors)}"
        tensors[name] = thing.detach().cpu().contiguous().clone()
        return {"$tensor": name}
    if isinstance(thing, Mapping):
        plain = all(isinstance(key, str) and not key.startswith("$") for key in thing)
        items = [(key, _encoded(value, tensors)) for key, value in thing.items()]
        return dict(items) if plain else {"$items": [list(item) for item in items]}
    if isinstance(thing, (list, tuple)):
        inner = [_encoded(value, tensors) for value in thing]
        return {"$tuple": inner} if isinstance(thing, tuple) else inner
    if isinstance(thing, float) and not math.isfinite(thing):
        return {"$float": str(thing)}
    if thing is None or isinstance(thing, (str, bool, int, float)):
        return thing
    raise TypeError(f"{type(thing).__name__} is no plain data")


def write(path: Path, thing: Any) -> None:
    """Nested data as one file, whole or not at all; with a digest over everything it holds.

    Raises:
        StoreError: if it cannot be written; what stood there stays.
    """
    tensors, data = flatten(thing)
    text = json.dumps(data, allow_nan=False)
    notes = {"data": text, "sha256": _digest(tensors, text)}
    try:
        whole(path, lambda to: to.write_bytes(save(tensors, notes)))
    except OSError as error:
        raise StoreError(
            f"{path} cannot be written ({error.strerror or error}): what stood there before stays."
        ) from None


def read(path: Path) -> Any:
    """The nested data of a file that `write` made; checked before anything of it is used.

    Raises:
        StoreError: if the file is missing, truncated, altered, or of another kind.
    """
    try:
        with safe_open(path, "pt") as file:
            notes = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no dict
        text = notes["data"]
        if _digest(tensors, text) != notes["sha256"]:
            raise StoreError(f"{path} is damaged: its content is not what was written.")
        return unflatten(tensors, json.loads(text))
    except OSError as error:
        raise StoreError(f"{path} cannot be read ({error.strerror or error}).") from None
    except (SafetensorError, KeyError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise StoreError(f"{path} is damaged or no file of holdfast ({reason}).") from None


def _digest(tensors: Tensors, text: str) -> str:
    total = hashlib.sha256(text.encode())
    for name, tensor in sorted(tensors.items()):
        total.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        if tensor.numel():
            total.update(tensor.view(-1).view(torch.uint8).numpy().tobytes())
    return total.hexdigest()
