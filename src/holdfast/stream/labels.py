"""Labels of a classifier as users have them: integers or strings, of one kind."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets

from holdfast.errors import DataError
from holdfast.stream.arrival import Label


def labels_of(values: Any) -> np.ndarray:
    """(N,) integers or strings of one kind, from an array, a table's column or a list.

    Raises:
        ValueError: for missing, mixed or continuous labels (mostly as `DataError`).

    >>> labels_of(["owl", "cat"]).tolist()
    ['owl', 'cat']
    """
    if values is None:
        raise DataError("a classifier requires y to be passed, but the target y is None.")
    y = np.asarray(values)
    if isinstance(values, (list, tuple)) or y.dtype.kind == "O":
        _complete(np.asarray(values, object).ravel())
    y = column_or_1d(y, warn=True)
    if y.dtype.kind == "f" and not np.isfinite(y).all():
        raise DataError("y holds a NaN or infinite value: every input needs a label.")
    y = np.array(y.tolist()) if y.dtype.kind == "O" else y
    with warnings.catch_warnings():  # of many classes for few rows: here a class may have one
        warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)
        check_classification_targets(y)
    return y


def _complete(y: np.ndarray) -> None:
    if any(label is None or label != label for label in y):
        raise DataError("y holds a missing label (None or NaN): every input needs one.")
    kinds = [isinstance(label, str) for label in y]
    if len(set(kinds)) > 1:
        first, other = y[0], y[kinds.index(not kinds[0])]
        raise DataError(f"y holds {first!r} and {other!r}: labels are all strings or all numbers.")


def one_kind(a: np.ndarray, b: np.ndarray) -> None:
    """Refuse strings beside numbers (DataError)."""
    kinds = {column.dtype.kind in "US" for column in (a, b) if len(column)}
    if len(kinds) > 1:
        raise DataError("labels are strings in one call and numbers in another: keep to one kind.")


def plain(y: np.ndarray) -> list[Label]:
    """Labels as Python's own integers or strings."""
    return [label if isinstance(label, str) else int(label) for label in y.tolist()]
