"""Tables: labelled images in parquet files, and in columns of any kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from holdfast.core.errors import DataError
from holdfast.stream.columns import LABELS, PATHS, Columns, column
from holdfast.stream.pictures import Pictures
from holdfast.stream.pixels import Encoded
from holdfast.stream.walk import readable

AT_ONCE = 64  # encoded images in memory

Sides = tuple[Pictures, Pictures | None]  # train, and test where there is one
Pieces = Callable[[str], Iterator[Any]]  # a column by name, as arrow arrays, piece by piece


def read_tables(root: Path, tables: Sequence[Path]) -> Sides:
    """The train and the test images of parquet files below a folder, known by train*, test* or val*.

    Raises:
        DataError: if a file cannot be read, names other classes than the first, or lacks a column.
    """
    sides: dict[str, list[Path]] = {}
    for file in tables:
        parts = [part.lower() for part in file.relative_to(root).parts]
        side = (s for s in ("train", "test", "val") if any(part.startswith(s) for part in parts))
        sides.setdefault(next(side, ""), []).append(file)
    train = sides.get("train") or sides.get("")
    test = sides.get("test") or sides.get("val")
    return parquet(train or tables), parquet(test) if train and test else None


def parquet(tables: Sequence[Path], asked: Columns = Columns(), labelled: bool = True) -> Pictures:
    """The images of several parquet files, one file after the other.

    Args:
        tables: the files.
        asked: columns that were named.
        labelled: whether they need a column of labels.

    Raises:
        DataError: as `read_tables`.
    """
    parts = [_parquet(file, asked, labelled) for file in tables]
    starts = np.cumsum([0, *(len(part.labels) for part in parts)])
    for file, part in zip(tables, parts):
        if part.names != parts[0].names:
            raise DataError(f"{file} names other classes than {tables[0]}: they must agree.")

    def images(rows: np.ndarray) -> Iterator[tuple[str, Encoded]]:
        for part, start, end in zip(parts, starts[:-1], starts[1:]):
            yield from part.images(rows[(rows >= start) & (rows < end)] - start)

    return Pictures(np.concatenate([part.labels for part in parts]), parts[0].names, images)


def _parquet(file: Path, asked: Columns, labelled: bool) -> Pictures:
    import pyarrow.parquet as pq  # costs a quarter of a second
    from datasets import Features

    with _readable(file):
        features = Features.from_arrow_schema(pq.read_schema(file))

    def columns(name: str) -> Iterator[Any]:
        with _readable(file), pq.ParquetFile(file) as table:
            for batch in table.iter_batches(columns=[name], batch_size=AT_ONCE):
                yield batch.column(0)

    return from_columns(features, columns, readable(file), file.parent, asked, labelled)


@contextmanager
def _readable(file: Path) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except DataError:
        raise
    except (pa.ArrowException, OSError, ValueError) as error:  # the last: odd metadata
        reason = " ".join(str(error).split()).rstrip(".")
        raise DataError(f"{file} is not a readable parquet file ({reason}): replace it.") from error


def from_columns(
    features: Mapping[str, Any],
    columns: Pieces,
    where: str,
    root: Path,
    asked: Columns = Columns(),
    labelled: bool = True,
) -> Pictures:
    """The images of a table.

    Args:
        features: the kind of every column, as ``datasets`` has them.
        columns: yields a column by its name.
        where: what to call the table in an error.
        root: where paths in it start.
        asked: columns that were named.
        labelled: whether it needs a column of labels.

    Raises:
        DataError: if it has no column of images or none of labels.
    """
    columns_there = list(features)
    named = column(columns_there, (), asked.path, "path", where) if asked.path else None
    image = named or _image_column(features, where)
    label = column(columns_there, (), asked.label, "label", where) if asked.label else None
    names: Any = None
    if labelled:
        label = label or _label_column(features, where)
        values = [value for piece in columns(label) for value in piece.to_pylist()]
        names = getattr(features[label], "names", None)
    else:
        values = [None] * sum(len(piece) for piece in columns(image))

    def images(rows: np.ndarray) -> Iterator[tuple[str, Encoded]]:
        import pyarrow

        start = 0
        for piece in columns(image):
            wanted = rows[(rows >= start) & (rows < start + len(piece))]
            cells = piece.take(pyarrow.array(wanted - start)).to_pylist()
            yield from ((f"{where} row {row}", _encoded(v, root)) for row, v in zip(wanted, cells))
            start += len(piece)

    labels = np.fromiter(values, dtype=object, count=len(values))
    return Pictures(labels, tuple(names) if names else None, images)


def _encoded(value: Any, root: Path) -> Encoded:
    if isinstance(value, str):
        return root / value
    if not isinstance(value, dict):
        return value
    path = value.get("path")
    return value.get("bytes") or (root / path if path else None)


def _image_column(features: Mapping[str, Any], where: str) -> str:
    """The column of images; failing that, one of file names."""
    from datasets import Image, Value

    def fits(name: str) -> int:
        kind = features[name]
        if isinstance(kind, Image):
            return 4
        if isinstance(kind, Mapping):
            return 3 if "bytes" in kind else 0
        if not isinstance(kind, Value):
            return 0
        if kind.dtype in ("binary", "large_binary"):
            return 2
        return int(kind.dtype in ("string", "large_string") and name.lower() in PATHS)

    best = max(features, key=fits, default="")
    if not features or not fits(best):
        kinds = ", ".join(
            f"{name} ({getattr(k, 'dtype', None) or k})" for name, k in features.items()
        )
        raise DataError(
            f"{where} has no image column: its columns are {kinds}; images are bytes, or file names "
            f"in a column named {', '.join(PATHS)}."
        )
    return best


def _label_column(features: Mapping[str, Any], where: str) -> str:
    from datasets import ClassLabel

    named = [name for name in LABELS if name in features]
    typed = [name for name, kind in features.items() if isinstance(kind, ClassLabel)]
    if not named and not typed:
        wanted = f"name it one of {', '.join(LABELS)}; its columns are {', '.join(features)}"
        raise DataError(f"{where} has no label column: {wanted}.")
    return (named or typed)[0]
