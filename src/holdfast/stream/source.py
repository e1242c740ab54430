"""Source: all data of a problem, checked and numbered, before it is cut into tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Int, Shaped
from numpy.typing import ArrayLike
from torch import Tensor

from holdfast.core.errors import ConfigError, DataError
from holdfast.stream import arrays
from holdfast.stream.levels import Levels
from holdfast.stream.walk import Skipped


@dataclass(frozen=True)
class Source:
    """Train and test data with one numbering of the classes.

    Attributes:
        name: where the data came from.
        x: (N, C, H, W) uint8 pixels or (N, D) float32 or float64 features to train on.
        y: (N,) int64 class, 0..K-1.
        test_x: (M, ...) the same to test on.
        test_y: (M,) int64 class.
        names: the K class names.
        skipped: files and rows that were left out, each with the reason.
        levels: by which greys of more than 8 bits were read; None if there were none.
        notes: what else should be known of how the data were read, a sentence each.
    """

    name: str
    x: Shaped[Tensor, "n ..."]
    y: Int[Tensor, " n"]
    test_x: Shaped[Tensor, "m ..."]
    test_y: Int[Tensor, " m"]
    names: tuple[str, ...]
    skipped: Skipped = field(default_factory=list)
    levels: Levels | None = None
    notes: list[str] = field(default_factory=list)


def digits(seed: int = 0) -> Source:
    """The 1797 handwritten digits of scikit-learn, (N, 1, 8, 8); a stratified fifth is the test."""
    from sklearn.datasets import load_digits  # costs a second

    x, y = load_digits(return_X_y=True)
    return from_arrays(x.reshape(-1, 8, 8) / 16, y, name="digits", seed=seed)


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
    labels, class_names = arrays.number([pair[1] for pair in pairs], names, ("y", "test_y"))
    for side, a, b in zip(("", "test_"), pixels, labels):
        if len(a) != len(b):
            raise DataError(f"{side}x has {len(a)} rows and {side}y has {len(b)}: they must match.")
    if pixels[0].shape[1:] != pixels[-1].shape[1:]:
        shapes = f"{pixels[0].shape[1:]} and {pixels[-1].shape[1:]}"
        raise DataError(f"the rows of x and test_x have shapes {shapes}: they must match.")
    train, test = choose_rows(labels, class_names, (None, None), test_share, seed)
    parts = (pixels[0][train], labels[0][train], pixels[-1][test], labels[-1][test])
    return Source(name, *map(torch.from_numpy, parts), names=class_names)


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


def choose_rows(
    labels: Sequence[np.ndarray],
    names: Sequence[str],
    counts: tuple[int | None, int | None],
    test_share: float,
    seed: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Rows to train on, of the first labels, and to test on, of the last (held out if the same).

    Args:
        labels: (N,) classes of the train rows, and of the test rows where there are any.
        names: the class names.
        counts: how many train and test rows of each class to keep; None keeps all.
        test_share: what part of each class to hold out where there are no test rows.
        seed: chooses what is kept and held out.

    Raises:
        ConfigError: if a number makes no sense.
        DataError: if the train rows are of one class, or too few to hold some out.
    """
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
