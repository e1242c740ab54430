"""Vectors: features in files of NumPy, with their labels."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from holdfast.core.errors import DataError
from holdfast.stream import arrays
from holdfast.stream.columns import (
    FEATURES,
    LABELS,
    SPLIT,
    Columns,
    column,
    no_column,
    refuse_repeats,
)
from holdfast.stream.image_files import label_of
from holdfast.stream.walk import readable

SUFFIXES = (".npy", ".npz")


@dataclass(frozen=True)
class VectorTable:
    """Feature vectors.

    Attributes:
        x: (N, D) float32 or float64.
        labels: (N,) the class of each; empty where there are none.
        split: the part of each; None where nothing says.
    """

    x: Tensor
    labels: list[str]
    split: list[str] | None = None


def read_numpy(file: Path, columns: Columns, labelled: bool = True) -> VectorTable:
    """Features of a ``.npy`` file, or of the arrays of an ``.npz`` file.

    Args:
        file: with (N, D) numbers; labels are beside a ``.npy`` file in NAME.labels.npy.
        columns: names of the arrays that were asked for, or a file of labels.
        labelled: whether every row needs a class.

    Raises:
        DataError: naming the file and what is wrong; for Python objects, which are never loaded.
    """
    where = readable(file)
    if file.suffix.lower() == ".npz":
        x, y, split = _archive(file, columns, labelled and columns.labels is None)
    else:
        x, y, split = load_array(file), None, None
        beside = file.with_suffix(".labels.npy")
        if labelled and columns.labels is None and not beside.exists():
            raise DataError(
                f"{where} has no labels: put them into {readable(beside)}, or name their file with "
                f"--labels FILE or {where}:labels=FILE."
            )
        y = load_array(beside) if labelled and columns.labels is None else None
    vectors = vectors_in(x, where)
    labels = [] if y is None else texts_of(y, f"{where} labels")
    if y is not None:
        require_equal(len(vectors), len(labels), where, f"{where} labels")
    parts = None if split is None else texts_of(split, f"{where} split")
    if parts is not None:
        require_equal(len(vectors), len(parts), where, f"{where} split")
    return VectorTable(vectors, labels, parts)


def read_labels(file: Path) -> list[str]:
    """Labels from a ``.npy`` file, or from a text with one a line.

    Raises:
        DataError: if it cannot be read, or a label is empty or none.
    """
    where = readable(file)
    if file.suffix.lower() == ".npy":
        return texts_of(load_array(file), where)
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{where} cannot be read as labels, one a line ({error}).") from None
    return texts_of(np.array([line.strip() for line in lines], dtype=str), where)


def vectors_in(x: np.ndarray, where: str) -> Tensor:
    """(N, D) numbers as float features.

    Raises:
        DataError: for another shape, no numbers, or values that are not finite.
    """
    if x.ndim != 2:
        raise DataError(
            f"{where} holds an array of shape {x.shape}: features are (N, D), a row an image."
        )
    if x.shape[1] == 0 or len(x) == 0:
        raise DataError(f"{where} is empty, its shape is {x.shape}: at least one row is needed.")
    return torch.from_numpy(arrays.inputs(x, where))


def texts_of(values: Any, where: str, meaning: Sequence[str] | None = None) -> list[str]:
    """A column of labels as class names.

    Args:
        values: (N,) integers or texts.
        where: what to call them.
        meaning: names that integers count in.

    Raises:
        DataError: for a label that is empty, or neither an integer nor a text.
    """
    column_of = np.asarray(values)
    if column_of.dtype.kind == "S":
        column_of = np.char.decode(column_of, "utf-8", "replace")
    (numbers,), names = arrays.number([column_of], meaning, [where])
    names = tuple(label_of(name.strip()) for name in names)
    labels = [names[i] for i in numbers.tolist()]
    if "" in names:
        raise DataError(
            f"{where}: the label of row {labels.index('')} is empty: name its class, or leave the row out."
        )
    return labels


def require_equal(rows: int, labels: int, where: str, of_labels: str) -> None:
    """Refuse labels of another number than the rows (DataError)."""
    if rows != labels:
        raise DataError(f"{where} has {rows} rows and {of_labels} has {labels}: they must match.")


def load_array(file: Path) -> np.ndarray:
    """One array, never one of Python objects.

    Raises:
        DataError: if it cannot be read or holds objects.
    """
    return _load(file, None)


def _load(file: Path, name: str | None) -> Any:
    """An array of a file; the names of the arrays of an archive for an empty name."""
    where = readable(file) + (f": array '{name}'" if name else "")
    try:
        with file.open("rb") as stream:
            content = np.load(stream, allow_pickle=False)
            if name is None:
                return content
            with content:
                return content[name] if name else list(content.files)
    except (OSError, EOFError, MemoryError, zipfile.BadZipFile, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{where} cannot be read ({reason}).") from None
    except (ValueError, AttributeError, TypeError) as error:
        if "pickled" in str(error):
            raise DataError(
                f"{where} is no file that numpy.save or numpy.savez wrote; pickled data are never loaded."
            ) from None
        if "pickle" in str(error):
            raise DataError(
                f"{where} holds Python objects, which are never loaded because they can run code: save "
                "numbers, and labels as integers or as texts of dtype U."
            ) from None
        raise DataError(f"{where} is no array of NumPy ({error}).") from None


def _archive(
    file: Path, columns: Columns, labelled: bool
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
    """Features, labels and split of an ``.npz`` file."""
    where, names = readable(file), _load(file, "")
    refuse_repeats(names, where)
    x = column(names, FEATURES, columns.features, "features", where)
    y = column(names, ("y", *LABELS), columns.label, "label", where)
    split = column(names, SPLIT, columns.split, "split", where)
    if x is None:
        raise no_column("features", FEATURES, "features", names, where)
    if y is None and labelled:
        raise no_column("classes", ("y", *LABELS), "label", names, where)
    wanted = (x, y if labelled else None, split)
    features, labels, parts = (None if n is None else _load(file, n) for n in wanted)
    assert features is not None
    return features, labels, parts
