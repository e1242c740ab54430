"""Vectors in tables of arrow: parquet files, and data sets of Hugging Face."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from holdfast.core.errors import DataError
from holdfast.stream.columns import FEATURES, LABELS, SPLIT, Columns, column, no_column
from holdfast.stream.vectors import VectorTable, texts_of, vectors_in


def feature_column(schema: Any, columns: Columns, where: str) -> str | None:
    """The column of a parquet file that holds lists of numbers; None for a table of images.

    Args:
        schema: of the file, as pyarrow has it.
        columns: that were asked for.
        where: the file.

    Raises:
        DataError: if the column that was asked for is not there, or holds no lists of numbers.
    """
    name = column(schema.names, FEATURES, columns.features, "features", where)
    if name is None or _is_vector(schema.field(name).type):
        return name
    if columns.features:
        raise DataError(
            f"{where}: column '{name}' holds {schema.field(name).type}: features are lists of numbers."
        )
    return None


def _is_vector(kind: Any) -> bool:
    from pyarrow import types

    lists = types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
    return lists and (types.is_floating(kind.value_type) or types.is_integer(kind.value_type))


def read_vectors(
    schema: Any, get: Callable[[str], Any], columns: Columns, labelled: bool, where: str
) -> VectorTable | None:
    """Features of a table of arrow columns; None if it has none.

    Args:
        schema: of the table, as pyarrow has it.
        get: a column by its name, as a chunked array.
        columns: that were asked for.
        labelled: whether every row needs a class.
        where: the table.

    Raises:
        DataError: if labels are missing, or rows are empty or of different lengths.
    """
    name = feature_column(schema, columns, where)
    if name is None:
        return None
    names = schema.names
    use = labelled and columns.labels is None
    label = column(names, LABELS, columns.label, "label", where) if use else None
    split = column(names, SPLIT, columns.split, "split", where)
    if label is None and use:
        raise no_column("classes", LABELS, "label", names, where)
    x = vectors_in(_stacked(get(name), where, name), where)
    labels: list[str] = []
    if label is not None:
        labels = texts_of(objects(get(label)), f"{where} labels", class_names(schema, label))
    parts = None if split is None else texts_of(objects(get(split)), f"{where} split")
    return VectorTable(x, labels, parts)


def class_names(schema: Any, label: str) -> list[str] | None:
    """What the integers of a column mean, where the table's maker left it in the schema."""
    try:
        about = json.loads((schema.metadata or {})[b"huggingface"])
        return list(map(str, about["info"]["features"][label]["names"]))
    except (KeyError, ValueError, TypeError):
        return None


def _stacked(lists: Any, where: str, name: str) -> np.ndarray:
    """A column of lists as (N, D)."""
    pieces, width = [], None
    start = 0
    for chunk in lists.chunks:
        lengths = chunk.value_lengths().to_numpy(zero_copy_only=False)
        width = int(lengths[0]) if width is None and len(lengths) else width
        bad = np.flatnonzero(chunk.is_null().to_numpy(zero_copy_only=False) | (lengths != width))
        if len(bad):
            size = chunk[int(bad[0])].as_py()
            instead = "nothing" if size is None else f"{len(size)} numbers"
            raise DataError(
                f"{where}: column '{name}' of row {start + int(bad[0])} holds {instead}, that of row 0 "
                f"{width}: all must have one length."
            )
        pieces.append(chunk.flatten().to_numpy(zero_copy_only=False))
        start += len(chunk)
    return np.concatenate(pieces).reshape(start, width or 0) if pieces else np.empty((0, 0))


def objects(values: Any) -> np.ndarray:
    """A column of arrow as Python objects, (N,)."""
    listed: Sequence[Any] = values.to_pylist()
    return np.fromiter(listed, dtype=object, count=len(listed))
