"""Source: all data of a problem, checked and numbered, before it is cut into tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int, Shaped
from numpy.typing import ArrayLike
from torch import Tensor

from holdfast import errors
from holdfast.errors import ConfigError, DataError
from holdfast.stream import arrays, files
from holdfast.stream.pictures import decode

HUB = {
    "cifar10": "uoft-cs/cifar10",
    "cifar100": "uoft-cs/cifar100",
    "tiny-imagenet": "zh-plus/tiny-imagenet",
}


@dataclass(frozen=True)
class Source:
    """Train and test data with one numbering of the classes.

    Attributes:
        name: where the data came from.
        x: (N, C, H, W) uint8 pixels or (N, D) float32 features to train on.
        y: (N,) int64 class, 0..K-1.
        test_x: (M, ...) the same to test on.
        test_y: (M,) int64 class.
        names: the K class names.
    """

    name: str
    x: Shaped[Tensor, "n ..."]
    y: Int[Tensor, " n"]
    test_x: Shaped[Tensor, "m ..."]
    test_y: Int[Tensor, " m"]
    names: tuple[str, ...]


def source(
    stream: str = "digits",
    data: str | Path | None = None,
    size: int | None = None,
    per_class: int | None = None,
    test_per_class: int | None = None,
    seed: int = 0,
) -> Source:
    """The data behind a name, or in local files.

    Args:
        stream: see `load`; with ``data``, what to call it.
        data: parquet files or a folder of images, see `from_path`; None loads ``stream``.
        size: the side to which images are resized.
        per_class: how many train images of a class to keep.
        test_per_class: how many test images of a class to keep.
        seed: chooses what is kept, and what is held out where there is no test set.

    Raises:
        ConfigError: if the name is unknown or a number makes no sense.
        DataError: if the data cannot be found or used.
    """
    if data is None:
        return load(stream, size, per_class, test_per_class, seed=seed)
    found = from_path(data, size, per_class, test_per_class, seed=seed)
    return replace(found, name=stream) if stream in HUB else found


def load(
    name: str = "digits",
    size: int | None = None,
    per_class: int | None = None,
    test_per_class: int | None = None,
    test_share: float = 0.2,
    seed: int = 0,
) -> Source:
    """A data set by its name: digits, cifar10, cifar100, tiny-imagenet, or any on the hub.

    Args:
        name: a short name, or that of a Hugging Face dataset of labelled images (it has a ``/``).
        size: the side to which images are resized.
        per_class: how many train images of a class to keep.
        test_per_class: how many test images of a class to keep.
        test_share: what part to hold out where the data set has no test set.
        seed: chooses what is kept and held out.

    Raises:
        ConfigError: if the name is unknown or a number makes no sense.
        DataError: if the hub cannot be reached or the data set holds no labelled images.
    """
    if name == "digits":
        if size is not None:
            raise ConfigError("digits are images of 8 x 8 pixels: size applies to other streams.")
        return limit(digits(seed), per_class, test_per_class, seed)
    if name not in HUB and "/" not in name:
        raise errors.unknown("stream", name, ["digits", *HUB])
    arrays.positive(size=size, per_class=per_class, test_per_class=test_per_class)
    sides = files.hub(HUB.get(name, name))
    return _decoded(name, sides, size, (per_class, test_per_class), test_share, seed)


def digits(seed: int = 0) -> Source:
    """The 1797 handwritten digits of scikit-learn, (N, 1, 8, 8); a stratified fifth is the test."""
    from sklearn.datasets import load_digits  # costs a second

    x, y = load_digits(return_X_y=True)
    return from_arrays(x.reshape(-1, 8, 8) / 16, y, name="digits", seed=seed)


def from_path(
    path: str | Path,
    size: int | None = None,
    per_class: int | None = None,
    test_per_class: int | None = None,
    test_share: float = 0.2,
    seed: int = 0,
) -> Source:
    """Local images, as RGB: a parquet file, a folder of them, or a folder of images.

    Parquet files named train* and test* (or val*) are those; any other is train. A folder of
    images has one folder per class, perhaps below train/ and test/ (or val/). Images of one size
    keep it; otherwise, and with ``size``, they are resized to a square (64 x 64 unless told).

    Args:
        path: the file or folder.
        size: the side to which images are resized.
        per_class: how many train images of a class to keep; the others are never decoded.
        test_per_class: how many test images of a class to keep.
        test_share: what part of each class to hold out where there is no test set.
        seed: chooses what is kept and held out.

    Raises:
        ConfigError: if a number makes no sense.
        DataError: if a file cannot be read, or images, labels or a second class are missing.
    """
    arrays.positive(size=size, per_class=per_class, test_per_class=test_per_class)
    path = Path(path).expanduser()
    sides = files.read(path)
    name = path.stem if path.is_file() else path.resolve().name
    return _decoded(name, sides, size, (per_class, test_per_class), test_share, seed)


def from_arrays(
    x: ArrayLike | Tensor,
    y: ArrayLike | Tensor,
    test_x: ArrayLike | Tensor | None = None,
    test_y: ArrayLike | Tensor | None = None,
    names: Sequence[str] | None = None,
    name: str = "arrays",
    test_share: float = 0.2,
    seed: int = 0,
) -> Source:
    """Arrays or tensors, checked and copied.

    >>> made = from_arrays(torch.rand(10, 8, 8, 3), ["cat", "dog"] * 5)
    >>> made.names, tuple(made.x.shape), made.x.dtype, len(made.test_x)
    (('cat', 'dog'), (8, 3, 8, 8), torch.uint8, 2)

    Args:
        x: (N, C, H, W), (N, H, W, C) or (N, H, W) uint8 or float in [0, 1]; or (N, D) features.
        y: (N,) labels, integers or strings.
        test_x: the same to test on; without it a part of each class is held out.
        test_y: the labels of ``test_x``.
        names: the class names; without them the labels name themselves.
        name: what to call the source.
        test_share: what part of each class to hold out.
        seed: chooses what is held out.

    Raises:
        ConfigError: if ``test_share`` is no share.
        DataError: if an array or a label cannot be used.
    """
    if (test_x is None) != (test_y is None):
        raise DataError("test_x and test_y belong together: give both or neither.")
    pairs = [(x, y)] if test_x is None or test_y is None else [(x, y), (test_x, test_y)]
    pixels = [arrays.inputs(values, place) for (values, _), place in zip(pairs, ("x", "test_x"))]
    labels, found = arrays.number([pair[1] for pair in pairs], names, ("y", "test_y"))
    for side, a, b in zip(("", "test_"), pixels, labels):
        if len(a) != len(b):
            raise DataError(f"{side}x has {len(a)} rows and {side}y has {len(b)}: they must match.")
    if pixels[0].shape[1:] != pixels[-1].shape[1:]:
        shapes = f"{pixels[0].shape[1:]} and {pixels[-1].shape[1:]}"
        raise DataError(f"the rows of x and test_x have shapes {shapes}: they must match.")
    train, test = _choose(labels, found, (None, None), test_share, seed)
    parts = (pixels[0][train], labels[0][train], pixels[-1][test], labels[-1][test])
    return Source(name, *map(torch.from_numpy, parts), names=found)


def limit(
    source: Source, per_class: int | None = None, test_per_class: int | None = None, seed: int = 0
) -> Source:
    """The same source with at most so many train and test rows of every class, chosen by a seed.

    Raises:
        ConfigError: if a number is less than 1.
    """
    train = torch.from_numpy(arrays.keep(source.y.numpy(), per_class, seed))
    test = torch.from_numpy(arrays.keep(source.test_y.numpy(), test_per_class, seed))
    kept = {"x": source.x[train], "y": source.y[train]}
    return replace(source, **kept, test_x=source.test_x[test], test_y=source.test_y[test])


def _decoded(
    name: str,
    sides: files.Sides,
    size: int | None,
    counts: tuple[int | None, int | None],
    test_share: float,
    seed: int,
) -> Source:
    """A source of the pictures that are wanted; no other is decoded."""
    found = [side for side in sides if side is not None]
    named = [side.names for side in found if side.names]
    if len(set(named)) > 1:
        raise DataError(
            f"the train and the test files of '{name}' name other classes: they must agree."
        )
    where = [f"{name} {side} labels" for side in ("train", "test")]
    columns = [side.labels for side in found]
    labels, names = arrays.number(columns, named[0] if named else None, where)
    train, test = _choose(labels, names, counts, test_share, seed)
    x, test_x = decode([(found[0], train), (found[-1], test)], size)
    y, test_y = torch.from_numpy(labels[0][train]), torch.from_numpy(labels[-1][test])
    return Source(name, x, y, test_x, test_y, names)


def _choose(
    labels: Sequence[np.ndarray],
    names: Sequence[str],
    counts: tuple[int | None, int | None],
    test_share: float,
    seed: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Rows to train on, of the first labels, and to test on, of the last (held out if the same)."""
    classes = np.unique(labels[0])
    if len(classes) == 1:
        raise DataError(f"all train rows are of one class, '{names[classes[0]]}': two are needed.")
    train, test = np.arange(len(labels[0])), np.arange(len(labels[-1]))
    if len(labels) == 1:
        train, test = arrays.hold_out(labels[0], names, test_share, seed)
    train = train[arrays.keep(labels[0][train], counts[0], seed)]
    return train, test[arrays.keep(labels[-1][test], counts[1], seed)]


def validation(source: Source, share: float, seed: int = 0) -> Source:
    """The source with its test set replaced by a share of its training rows.

    For choosing parameters without a look at the test set.

    Raises:
        ConfigError: if the share is not between 0 and 1.
        DataError: if a class has a single training row.
    """
    if not 0 < share < 1:
        raise ConfigError(f"the validation share must lie between 0 and 1, not {share}.")
    train, test = arrays.hold_out(source.y.numpy(), source.names, share, seed)
    parts = {
        "x": source.x[train],
        "y": source.y[train],
        "test_x": source.x[test],
        "test_y": source.y[test],
    }
    return replace(source, name=f"{source.name}-validation", **parts)
