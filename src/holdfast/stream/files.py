"""Where pictures come from: parquet files, folders of images, and datasets of the Hugging Face hub."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from holdfast.errors import DataError
from holdfast.stream.pictures import Encoded, Pictures

IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")
LABELS = ("label", "labels", "fine_label", "class")
TEST = ("test", "val", "valid", "validation")  # the first of these that exists is the test set
SECONDS = 5  # to wait for the hub before working offline

Sides = tuple[Pictures, Pictures | None]  # train, and test where there is one
Columns = Callable[[str], Iterator[Any]]  # a column by name, as arrow arrays, piece by piece


def read(path: Path) -> Sides:
    """The train and the test images of a path; None where it has no test set of its own.

    Args:
        path: a parquet file, a folder of parquet files (train*, test* or val*) or a folder of
            images with one folder per class, perhaps below train/ and test/ (or val/).

    Raises:
        DataError: if the path does not exist, holds no images or cannot be read.
    """
    if not path.exists():
        raise DataError(f"{path} does not exist: give a parquet file or a folder of images.")
    if path.is_file():
        if path.suffix.lower() != ".parquet":
            raise DataError(f"{path} is not a parquet file: give one, or a folder of images.")
        return _parquets([path]), None
    found = [file for file in _visible(path) if file.suffix.lower() in (*IMAGES, ".parquet")]
    tables = [file for file in found if file.suffix.lower() == ".parquet"]
    return _tables(path, tables) if tables else _folders(path, found)


def hub(repo: str) -> Sides:
    """The train and the test images of a Hugging Face dataset, from the hub or its local cache.

    Raises:
        DataError: if the hub cannot be reached, or has no such dataset of labelled images.
    """
    import datasets  # costs a second, which only those who read files should pay

    with _offline_unless_reachable() as reachable:
        try:
            splits: Any = datasets.load_dataset(repo)
        except Exception as error:  # what a failed download raises depends on the network library
            reason = " ".join(str(error).split()).rstrip(".")
            if reachable and not isinstance(error, ConnectionError):
                message = f"'{repo}' cannot be loaded from the Hugging Face hub ({reason})"
            else:
                message = f"the Hugging Face hub cannot be reached for '{repo}' ({reason})"
            local = "give local parquet files or a folder of images with --data PATH"
            raise DataError(f"{message}: {local}.") from error
    sides = {s: _dataset(splits[s], f"{repo} {s}") for s in ("train", *TEST) if s in splits}
    if "train" not in sides:
        raise DataError(f"'{repo}' has no train split: its splits are {', '.join(splits)}.")
    return sides["train"], next((sides[side] for side in TEST if side in sides), None)


@contextmanager
def _offline_unless_reachable() -> Iterator[bool]:
    """Spare those without a network the retries: they are left with what is cached."""
    from datasets import config
    from huggingface_hub import constants

    reachable = _reachable(constants.ENDPOINT)
    switches: tuple[Any, Any] = constants, config
    before = [switch.HF_HUB_OFFLINE for switch in switches]
    try:
        for switch, offline in zip(switches, before):
            switch.HF_HUB_OFFLINE = offline or not reachable
        yield reachable
    finally:
        for switch, offline in zip(switches, before):
            switch.HF_HUB_OFFLINE = offline


def _reachable(endpoint: str) -> bool:
    from huggingface_hub.utils import get_session

    try:
        get_session().head(endpoint, timeout=SECONDS)
    except Exception:  # offline mode, no name, no route, no answer: depends on the network library
        return False
    return True


def _visible(root: Path) -> list[Path]:
    """Every file below a folder but hidden ones, in an order that is the same on every machine."""
    found = []
    for folder, inner, names in os.walk(root, followlinks=True):
        inner[:] = [name for name in inner if not name.startswith(".")]
        found += [Path(folder, name) for name in names if not name.startswith(".")]
    return sorted(found, key=lambda file: file.relative_to(root).parts)


def _folders(root: Path, found: Sequence[Path]) -> Sides:
    tops = {f.relative_to(root).parts[0] for f in found if len(f.relative_to(root).parts) > 1}
    sides = {top.lower(): root / top for top in tops}
    test = next((sides[name] for name in TEST if name in sides), None)
    if "train" in sides and test:
        return _classes(sides["train"], found), _classes(test, found)
    return _classes(sides["train"] if set(sides) == {"train"} else root, found), None


def _classes(root: Path, found: Sequence[Path]) -> Pictures:
    """The images of a folder that holds one folder per class."""
    below = [f for f in found if f.is_relative_to(root)]
    files = [f for f in below if len(f.relative_to(root).parts) > 1]
    if not files:
        example = root / "cat" / "1.png"
        raise DataError(f"{root} has no images in class folders: it needs some such as {example}.")
    labels = np.array([f.relative_to(root).parts[0] for f in files])
    return Pictures(labels, None, lambda rows: ((str(files[i]), files[i]) for i in rows))


def _tables(root: Path, tables: Sequence[Path]) -> Sides:
    sides: dict[str, list[Path]] = {}
    for file in tables:
        parts = [part.lower() for part in file.relative_to(root).parts]
        side = (s for s in ("train", "test", "val") if any(part.startswith(s) for part in parts))
        sides.setdefault(next(side, ""), []).append(file)
    train = sides.get("train") or sides.get("")
    test = sides.get("test") or sides.get("val")
    return _parquets(train or tables), _parquets(test) if train and test else None


def _parquets(tables: Sequence[Path]) -> Pictures:
    """The images of several parquet files, one file after the other."""
    parts = [_parquet(file) for file in tables]
    starts = np.cumsum([0, *(len(part.labels) for part in parts)])
    for file, part in zip(tables, parts):
        if part.names != parts[0].names:
            raise DataError(f"{file} names other classes than {tables[0]}: they must agree.")

    def images(rows: np.ndarray) -> Iterator[tuple[str, Encoded]]:
        for part, start, end in zip(parts, starts[:-1], starts[1:]):
            yield from part.images(rows[(rows >= start) & (rows < end)] - start)

    return Pictures(np.concatenate([part.labels for part in parts]), parts[0].names, images)


def _parquet(file: Path) -> Pictures:
    from datasets import Features

    with _readable(file):
        features = Features.from_arrow_schema(pq.read_schema(file))

    def columns(name: str) -> Iterator[Any]:
        with _readable(file), pq.ParquetFile(file) as table:
            for batch in table.iter_batches(columns=[name], batch_size=1024):
                yield batch.column(0)

    return _tabular(features, columns, str(file), file.parent)


@contextmanager
def _readable(file: Path) -> Iterator[None]:
    try:
        yield
    except DataError:
        raise
    except (pa.ArrowException, OSError, ValueError) as error:  # the last: odd metadata
        reason = " ".join(str(error).split()).rstrip(".")
        raise DataError(f"{file} is not a readable parquet file ({reason}): replace it.") from error


def _dataset(table: Any, where: str) -> Pictures:
    """One split of a ``datasets.DatasetDict``."""

    def columns(name: str) -> Iterator[Any]:
        pieces = table.select_columns([name]).with_format("arrow").iter(batch_size=1024)
        return (piece.column(name) for piece in pieces)

    return _tabular(table.features, columns, where, Path())


def _tabular(features: Mapping[str, Any], columns: Columns, where: str, root: Path) -> Pictures:
    """The images of a table; ``root`` is where paths in it start."""
    image, label = _image_column(features, where), _label_column(features, where)
    found = [value for piece in columns(label) for value in piece.to_pylist()]
    names = getattr(features[label], "names", None)

    def images(rows: np.ndarray) -> Iterator[tuple[str, Encoded]]:
        start = 0
        for piece in columns(image):
            wanted = rows[(rows >= start) & (rows < start + len(piece))]
            values = piece.take(pa.array(wanted - start)).to_pylist()
            yield from ((f"{where} row {row}", _encoded(v, root)) for row, v in zip(wanted, values))
            start += len(piece)

    labels = np.fromiter(found, dtype=object, count=len(found))
    return Pictures(labels, tuple(names) if names else None, images)


def _encoded(value: Any, root: Path) -> Encoded:
    if not isinstance(value, dict):
        return value
    path = value.get("path")
    return value.get("bytes") or (root / path if path else None)


def _image_column(features: Mapping[str, Any], where: str) -> str:
    from datasets import Image, Value

    def fits(kind: Any) -> int:
        if isinstance(kind, Image):
            return 3
        if isinstance(kind, Mapping):
            return 2 if "bytes" in kind else 0
        return int(isinstance(kind, Value) and kind.dtype in ("binary", "large_binary"))

    best = max(features, key=lambda name: fits(features[name]), default="")
    if not features or not fits(features[best]):
        raise DataError(f"{where} has no image column: its columns are {', '.join(features)}.")
    return best


def _label_column(features: Mapping[str, Any], where: str) -> str:
    from datasets import ClassLabel

    named = [name for name in LABELS if name in features]
    typed = [name for name, kind in features.items() if isinstance(kind, ClassLabel)]
    if not named and not typed:
        wanted = f"name it one of {', '.join(LABELS)}; its columns are {', '.join(features)}"
        raise DataError(f"{where} has no label column: {wanted}.")
    return (named or typed)[0]
