"""Labels of a classifier as users have them: integers or strings, of one kind."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np

from holdfast.core.errors import DataError

Label = str | int


def labels_of(values: Any) -> np.ndarray:
    """(N,) integers or strings of one kind, from an array, a table's column or a list.

    Raises:
        ValueError: for missing, mixed or continuous labels (mostly as `DataError`).

    >>> labels_of(["owl", "cat"]).tolist()
    ['owl', 'cat']
    """
    from sklearn.utils import column_or_1d  # costs a second
    from sklearn.utils.multiclass import check_classification_targets

    if values is None:
        raise DataError("a classifier requires y to be passed, but the target y is None.")
    if np.ma.is_masked(values):
        raise DataError("y holds a masked label: every input needs one.")
    y = np.asarray(values)
    if isinstance(values, (list, tuple)) or y.dtype.kind == "O":
        objects = np.asarray(values, object)
        _complete(objects.ravel())
        y = _whole(objects) if all(isinstance(v, Integral) for v in objects.ravel()) else y
    y = column_or_1d(y, warn=True)
    if y.dtype.kind == "f" and not np.isfinite(y).all():
        raise DataError("y holds a NaN or infinite value: every input needs a label.")
    y = np.array(y.tolist()) if y.dtype.kind == "O" else y
    with warnings.catch_warnings():  # of many classes for few rows: here a class may have one
        warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)
        check_classification_targets(y)
    return y


def label_list(values: Any) -> list[Label]:
    """Labels as Python's own integers or strings, from a list, a tensor, an array or a column.

    Raises:
        DataError: for a label that is missing, or neither an integer nor a string.

    >>> label_list(np.array([2, 0])), label_list(["owl", np.str_("cat")])
    ([2, 0], ['owl', 'cat'])
    """
    if np.ma.is_masked(values):
        raise DataError("labels hold a masked value: every input needs a label.")
    items = values.tolist() if hasattr(values, "tolist") else list(values)
    if not isinstance(items, list):
        raise DataError(f"labels are {items!r}: give a label for each input.")
    return [_label(item, place) for place, item in enumerate(items)]


def _label(value: Any, place: int) -> Label:
    value = value.item() if hasattr(value, "item") and getattr(value, "ndim", 0) == 0 else value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, Integral) or (isinstance(value, float) and value.is_integer()):
        return int(value)
    what = "missing" if _missing(value) else repr(value)
    raise DataError(f"the label of input {place} is {what}: labels are integers or strings.")


def _missing(label: Any) -> bool:
    """Whether a label is None, not a number, or what a table writes for no value."""
    try:
        return label is None or bool(label != label)
    except TypeError:  # pandas says that it cannot know whether NA differs from itself
        return True
    except ValueError:  # an array
        return False


def _complete(y: np.ndarray) -> None:
    if any(_missing(label) for label in y):
        raise DataError("y holds a missing label (None, NaN or NA): every input needs one.")
    kinds = [isinstance(label, str) for label in y]
    if len(set(kinds)) > 1:
        first, other = y[0], y[kinds.index(not kinds[0])]
        raise DataError(f"y holds {first!r} and {other!r}: labels are all strings or all numbers.")


def _whole(labels: np.ndarray | Sequence[Any]) -> np.ndarray:
    """Integers in a type that holds them all exactly.

    Raises:
        DataError: if 64 bits do not.
    """
    y = np.asarray(labels, object)
    values = [int(value) for value in y.ravel()]
    least, most = min(values, default=0), max(values, default=0)
    if all(isinstance(value, (bool, np.bool_)) for value in y.ravel()):
        kind: Any = bool
    elif least >= -(2**63) and most < 2**63:
        kind = np.int64
    elif least >= 0 and most < 2**64:
        kind = np.uint64
    else:
        raise DataError(
            f"labels run from {least} to {most}: 64 bits do not hold them, give them as strings."
        )
    return np.array(values, kind).reshape(y.shape)


def union(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The different labels of two columns, sorted, in a type that holds them all exactly.

    Raises:
        DataError: if one holds strings and the other numbers, or 64 bits do not hold them.

    >>> union(np.array([2**63 + 1], np.uint64), np.array([7])).tolist()
    [7, 9223372036854775809]
    """
    one_kind(a, b)
    if a.dtype == b.dtype or a.dtype.kind in "US":
        return np.union1d(a, b)
    if not len(a) or not len(b):
        return np.unique(b if len(b) else a)
    return _whole(sorted({*plain(a), *plain(b)}))


def one_kind(a: np.ndarray, b: np.ndarray) -> None:
    """Refuse strings beside numbers (DataError)."""
    kinds = {column.dtype.kind in "US" for column in (a, b) if len(column)}
    if len(kinds) > 1:
        raise DataError("labels are strings in one call and numbers in another: keep to one kind.")


def plain(y: np.ndarray) -> list[Label]:
    """Labels as Python's own integers or strings."""
    return [label if isinstance(label, str) else int(label) for label in y.tolist()]
