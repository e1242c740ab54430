"""Arrays as users have them: checked, brought to the form data rests in, and rows chosen by label."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from holdfast.core.errors import ConfigError, DataError

LARGEST = 1e300  # of a feature: leaves room for differences and means in float64


def inputs(values: ArrayLike | Tensor, where: str) -> np.ndarray:
    """Images as (N, C, H, W) uint8, feature vectors as (N, D) float; always a copy.

    Features that come in float64, or in integers of 32 bits and more, are kept in float64: they may
    lie so far from zero (times, identities) that float32 would drop what tells them apart. The
    learner standardises them in float64. All others are kept in float32.

    Args:
        values: (N, C, H, W), (N, H, W, C) or (N, H, W) pixels with 1 or 3 channels, uint8 or
            float in [0, 1]; or (N, D) features of at most 1e300.
        where: what to call the array in an error.

    Raises:
        DataError: if the array is empty, or its shape, type or a value is none of these.
    """
    x = _array(values, where)
    if x.dtype.kind not in "buif":
        raise DataError(f"{where} holds values of type {x.dtype}: inputs must be numbers.")
    if x.ndim not in (2, 3, 4):
        raise DataError(
            f"{where} has shape {x.shape}: give images (N, C, H, W) or features (N, D)."
        )
    if x.size == 0:
        raise DataError(f"{where} is empty, its shape is {x.shape}: at least one row is needed.")
    if x.ndim > 2:
        return _pixels(_channels_first(x, where), where)
    _finite(x, where)
    wide = x.dtype.itemsize > (2 if x.dtype.kind in "iu" else 4)
    row = _first(np.abs(x) > LARGEST) if wide and x.dtype.kind == "f" else None
    if row is not None:
        size = f"{np.abs(x[row]).max():.4g}"
        raise DataError(f"{where}: row {row} holds {size}, in size beyond {LARGEST:g}: rescale it.")
    return x.astype(np.float64 if wide else np.float32)


def number(
    columns: Sequence[ArrayLike | Tensor], names: Sequence[str] | None, where: Sequence[str]
) -> tuple[list[np.ndarray], tuple[str, ...]]:
    """Labels of several tables, numbered 0..K-1 in one numbering, and the K class names.

    Without names, classes are counted in the order of their (sorted) labels.

    Args:
        columns: for every table, (N,) integers or strings.
        names: the class names; an integer label counts in them, a string label is one of them.
        where: what to call each table's labels in an error.

    Raises:
        DataError: if a label is missing, no integer or string, negative, or has no name.
    """
    labels = [_labels(column, place) for column, place in zip(columns, where)]
    if len({column.dtype.kind for column in labels}) > 1:
        both = " and ".join(where)
        raise DataError(f"{both} hold integers in one and strings in the other: they must agree.")
    values = np.unique(np.concatenate(labels))
    if names is None:
        return [np.searchsorted(values, column) for column in labels], tuple(map(str, values))
    if len(set(names)) < len(names):
        raise DataError(f"the class names {', '.join(names)} repeat: each must be given once.")
    known = names if values.dtype.kind == "U" else range(len(names))
    place = {label: i for i, label in enumerate(known)}
    for column, table in zip(labels, where):
        row = _first(~np.isin(column, list(place)))
        if row is not None:
            named = f"the {len(names)} names are {', '.join(names[:20])}"
            raise DataError(
                f"{table}: the label {column[row]!s} of row {row} has no name: {named}."
            )
    numbered = [[place[label] for label in column.tolist()] for column in labels]
    return [np.array(column, np.int64) for column in numbered], tuple(names)


def shuffled(seed: int, *path: int) -> np.random.Generator:
    """A generator of its own for each purpose (``path``) of a seed."""
    return np.random.default_rng([seed % 2**63, *path])


def hold_out(
    y: np.ndarray, names: Sequence[str], share: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers of a train and a test part; the test holds a share of every class, at least a row.

    Args:
        y: (N,) int64 classes.
        names: the class names.
        share: between 0 and 1.
        seed: chooses the rows.

    Raises:
        ConfigError: if the share is not between 0 and 1.
        DataError: if a class has a single row.
    """
    if not 0 < share < 1:
        raise ConfigError(f"test_share is {share}: it must lie between 0 and 1.")
    test = np.zeros(len(y), bool)
    for c in np.unique(y).tolist():
        rows = np.flatnonzero(y == c)
        if len(rows) == 1:
            raise DataError(f"class '{names[c]}' has one row: holding out a test set takes two.")
        count = min(max(round(len(rows) * share), 1), len(rows) - 1)
        test[shuffled(seed, 0, c).permutation(rows)[:count]] = True
    return np.flatnonzero(~test), np.flatnonzero(test)


def keep(y: np.ndarray, per_class: int | None, seed: int) -> np.ndarray:
    """The ascending numbers of the first ``per_class`` rows of every class in a seeded shuffle.

    More rows per class hold all of fewer; None keeps every row.

    Raises:
        ConfigError: if ``per_class`` is less than 1.
    """
    positive(per_class=per_class)
    if per_class is None:
        return np.arange(len(y))
    parts = [
        shuffled(seed, 1, c).permutation(np.flatnonzero(y == c))[:per_class]
        for c in np.unique(y).tolist()
    ]
    return np.sort(np.concatenate(parts))


def positive(**numbers: int | None) -> None:
    """Check that every number that is given is at least 1.

    Raises:
        ConfigError: if one is not, by its name.
    """
    for name, value in numbers.items():
        if value is not None and value < 1:
            raise ConfigError(f"{name} is {value}: it must be at least 1.")


def _array(values: ArrayLike | Tensor, where: str) -> np.ndarray:
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        return (values.float() if values.dtype in (torch.bfloat16, torch.half) else values).numpy()
    try:
        return np.asarray(values)
    except ValueError as error:
        raise DataError(f"{where} is no array ({error}): its rows must have one shape.") from error


def _first(bad: np.ndarray) -> int | None:
    """The number of the first row in which anything is bad."""
    rows = np.flatnonzero(bad.reshape(len(bad), -1).any(1))
    return int(rows[0]) if len(rows) else None


def _finite(x: np.ndarray, where: str) -> None:
    row = _first(~np.isfinite(x))
    if row is not None:
        raise DataError(f"{where}: row {row} holds a NaN or infinite value: all must be finite.")


def _channels_first(x: np.ndarray, where: str) -> np.ndarray:
    if x.ndim == 3:
        return x[:, None]
    if x.shape[1] in (1, 3):
        return x
    if x.shape[3] in (1, 3):
        return x.transpose(0, 3, 1, 2)
    raise DataError(f"{where} has shape {x.shape}: images need 1 or 3 channels, first or last.")


def _pixels(x: np.ndarray, where: str) -> np.ndarray:
    _finite(x, where)
    real = x.dtype.kind in "bf"
    row = _first((x < 0) | (x > (1 if real else 255)))
    if row is not None:
        values_in = f"{where}: row {row} has pixels from {x[row].min()} to {x[row].max()}"
        right = "float pixels must lie in [0, 1]" if real else "integer pixels must lie in 0..255"
        raise DataError(f"{values_in}: {right} (or be uint8).")
    scaled = np.rint(x * np.float32(255)) if real else x
    return np.array(scaled, dtype=np.uint8, order="C")


def _labels(values: ArrayLike | Tensor, where: str) -> np.ndarray:
    """(N,) int64 or strings."""
    y = _array(values, where)
    if y.ndim != 1:
        raise DataError(f"{where} has shape {y.shape}: give one label per row.")
    if len(y) == 0:
        raise DataError(f"{where} is empty: at least one row is needed.")
    if y.dtype.kind == "O":
        y = _plain(y, where)
    if y.dtype.kind in "USOT":
        return y.astype(str)
    if y.dtype.kind not in "buif":
        raise DataError(f"{where} holds values of type {y.dtype}: labels are integers or strings.")
    row = _first(~(np.isfinite(y) & (y == np.floor(y)) & (y >= 0) & (y < 2**63)))
    if row is not None:
        right = "labels must be integers from 0 to 2^63 - 1, or strings"
        raise DataError(f"{where}: the label of row {row} is {y[row]}: {right}.")
    return y.astype(np.int64)


def _plain(y: np.ndarray, where: str) -> np.ndarray:
    """A column of objects as one of numbers or of strings."""
    kinds = str if isinstance(y[0], str) else (int, float, np.number, np.bool_)
    row = _first(np.array([not isinstance(value, kinds) for value in y]))
    if row is not None:
        right = "all labels must be integers, or all strings"
        raise DataError(f"{where}: the label of row {row} is {y[row]!r}: {right}.")
    return np.array(y.tolist())
