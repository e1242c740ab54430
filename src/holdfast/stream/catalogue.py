"""Catalogue: data sets by name, and local files, behind one door."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from holdfast.core.errors import ConfigError, DataError
from holdfast.core.grammar import arguments
from holdfast.core.registry import Registry
from holdfast.stream import arrays, hub
from holdfast.stream.folder import choose_part, pictures_of
from holdfast.stream.image_files import no_images, refuse_lost, scan
from holdfast.stream.listed import levels_note, nothing_read
from holdfast.stream.pictures import decode
from holdfast.stream.pixel_store import PixelStore
from holdfast.stream.source import Source, choose_rows, digits, limit
from holdfast.stream.tables import Sides, parquet, read_tables
from holdfast.stream.walk import Skipped, readable, walk

SOURCES: Registry[Callable[..., Source]] = Registry("source", module="holdfast.stream")
register = SOURCES.register
SOURCES.add("digits", digits)
SAMPLE = 32  # images that are looked at for their size


def open_source(
    stream: str = "digits",
    data: str | Path | None = None,
    size: int | None = None,
    per_class: int | None = None,
    test_per_class: int | None = None,
    seed: int = 0,
    strict: bool = False,
    store: PixelStore | None = None,
) -> Source:
    """The data behind a name, or in local files.

    Args:
        stream: see `load`; with ``data``, what to call it.
        data: parquet files or a folder of images, see `from_path`; None loads ``stream``.
        size: the side to which images are resized.
        per_class: how many train images of a class to keep.
        test_per_class: how many test images of a class to keep.
        seed: chooses what is kept, and what is held out where there is no test set.
        strict: refuse images that cannot be read, in place of skipping them.
        store: takes the pixels of images that would not fit into memory.

    Raises:
        ConfigError: if the name is unknown or a number makes no sense.
        DataError: if the data cannot be found or used.
    """
    options: dict[str, Any] = {"seed": seed, "strict": strict, "store": store}
    if data is None:
        return load(stream, size, per_class, test_per_class, **options)
    local = from_path(data, size, per_class, test_per_class, **options)
    return replace(local, name=stream) if stream in hub.NAMES else local


def load(
    name: str = "digits",
    size: int | None = None,
    per_class: int | None = None,
    test_per_class: int | None = None,
    test_share: float = 0.2,
    seed: int = 0,
    strict: bool = False,
    store: PixelStore | None = None,
) -> Source:
    """A data set by its name (``holdfast sources``), or any image data set of the hub.

    Args:
        name: a registered name, perhaps with settings, or that of a Hugging Face dataset of
            labelled images (it has a ``/``).
        size: the side to which images are resized.
        per_class: how many train images of a class to keep.
        test_per_class: how many test images of a class to keep.
        test_share: what part to hold out where the data set has no test set.
        seed: chooses what is kept and held out.
        strict: refuse images that cannot be read, in place of skipping them.
        store: takes the pixels of images that would not fit into memory.

    Raises:
        ConfigError: if the name is unknown or a number makes no sense.
        DataError: if the hub cannot be reached or the data set holds no labelled images.
    """
    options: dict[str, Any] = {
        "size": size, "test_share": test_share, "seed": seed, "strict": strict, "store": store,
        "per_class": per_class, "test_per_class": test_per_class,
    }  # fmt: skip
    if "/" in name and name.split(":")[0] not in SOURCES:
        return _hub(name, **options)
    entry, rest = SOURCES.find(name)
    takes = _takes(entry.value, options)
    if size is not None and "size" not in takes:
        raise ConfigError(f"the images of {entry.name} have one size: leave --size out.")
    settings = arguments(entry.value, rest, f"source {entry.name}", skip=options)
    source = entry.value(**{n: v for n, v in options.items() if n in takes}, **settings)
    if not isinstance(source, Source):
        raise ConfigError(f"'{name}' makes a {type(source).__name__}, which is no Source.")
    return source if "per_class" in takes else limit(source, per_class, test_per_class, seed)


def _takes(function: Callable[..., Source], options: Collection[str]) -> set[str]:
    """Which of these options a function takes."""
    parameters = inspect.signature(function).parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return set(options)
    return {p.name for p in parameters} & set(options)


def _hub(
    name: str,
    size: int | None = None,
    per_class: int | None = None,
    test_per_class: int | None = None,
    **how: Any,
) -> Source:
    """A data set of the hub, of which only the images that are wanted are decoded."""
    arrays.positive(size=size, per_class=per_class, test_per_class=test_per_class)
    sides = hub.read_hub(hub.NAMES.get(name, name))
    return _decoded(name, sides, size, (per_class, test_per_class), **how)


@register("cifar10")
def cifar10(**options: Any) -> Source:
    """CIFAR-10 from the hub: 60,000 photographs of 10 classes, 32 pixels."""
    return _hub("cifar10", **options)


@register("cifar100")
def cifar100(**options: Any) -> Source:
    """CIFAR-100 from the hub: 60,000 photographs of 100 classes, 32 pixels."""
    return _hub("cifar100", **options)


@register("tiny-imagenet")
def tiny_imagenet(**options: Any) -> Source:
    """Tiny-ImageNet from the hub: 110,000 photographs of 200 classes, 64 pixels."""
    return _hub("tiny-imagenet", **options)


def from_path(
    path: str | Path,
    size: int | None = None,
    per_class: int | None = None,
    test_per_class: int | None = None,
    test_share: float = 0.2,
    seed: int = 0,
    strict: bool = False,
    store: PixelStore | None = None,
) -> Source:
    """Local images, as RGB: a parquet file, a folder of them, or a folder of images.

    Parquet files named train* and test* (or val*) are those; any other is train. A folder of
    images has one folder per class, perhaps below train/ and test/ (or val/), see `scan`. Images of
    one size keep it; otherwise, and with ``size``, they are resized to a square (64 x 64 by default).
    What cannot be read is skipped and listed in ``skipped``.

    Args:
        path: the file or folder.
        size: the side to which images are resized.
        per_class: how many train images of a class to keep; the others are never decoded.
        test_per_class: how many test images of a class to keep.
        test_share: what part of each class to hold out where there is no test set.
        seed: chooses what is kept and held out.
        strict: refuse what would be skipped, in place of listing it.
        store: takes the pixels that would not fit into memory; None keeps all in memory.

    Raises:
        ConfigError: if a number makes no sense.
        DataError: if nothing can be read, or images, labels or a second class are missing.
    """
    arrays.positive(size=size, per_class=per_class, test_per_class=test_per_class)
    path = Path(path).expanduser()
    sides, skipped = read_path(path)
    if strict:
        refuse_lost(skipped)
    name = readable(path.stem if path.is_file() else path.resolve().name)
    source = _decoded(
        name, sides, size, (per_class, test_per_class), test_share, seed, strict, store
    )
    return replace(source, skipped=skipped + source.skipped)


def read_path(path: Path) -> tuple[Sides, Skipped]:
    """The train and the test images of a path, not decoded yet, and the files that are neither.

    Args:
        path: see `from_path`.

    Raises:
        DataError: if the path does not exist, holds no images or cannot be read.
    """
    if not path.exists():
        raise DataError(
            f"{readable(path)} does not exist: give a parquet file or a folder of images."
        )
    if path.is_file() and path.suffix.lower() != ".parquet":
        raise DataError(f"{readable(path)} is not a parquet file: give one, or a folder of images.")
    if path.is_file():
        return (parquet([path]), None), []
    files, skipped = walk(path)
    tables = [file for file in files if file.suffix.lower() == ".parquet"]
    if tables:
        skipped += [(readable(f), "beside parquet files") for f in files if f not in set(tables)]
        return read_tables(path, tables), skipped
    content = scan(path)
    train, _ = choose_part(path, content, "train")
    if content.test is not None and not content.test.files:
        raise no_images(content.test.root, content.skipped)
    test = None if content.test is None else pictures_of(content.test)
    return (pictures_of(train), test), content.skipped


def peek_shape(
    stream: str = "digits", data: str | Path | None = None, size: int | None = None
) -> tuple[int, ...] | None:
    """The shape that inputs of a stream will have, without reading it all; None if nothing says.

    Local images are looked at, up to 32 of them: their size if they share it, else 64 x 64.

    Raises:
        DataError: if local data cannot be found or hold no images.
    """
    if data is None and stream == "digits":
        return (1, 8, 8)
    if size is not None:
        return (3, size, size)
    if data is None:
        hub_name = "/" in stream or stream in hub.NAMES
        return None if hub_name else tuple(load(stream).x.shape[1:])
    pictures = read_path(Path(data).expanduser())[0][0]
    count = min(SAMPLE, len(pictures.labels))
    rows = np.unique(np.linspace(0, len(pictures.labels) - 1, count).astype(int))
    return tuple(decode([(pictures, rows)]).x[0].shape[1:])


def _decoded(
    name: str,
    sides: Sides,
    size: int | None,
    counts: tuple[int | None, int | None],
    test_share: float = 0.2,
    seed: int = 0,
    strict: bool = False,
    store: PixelStore | None = None,
) -> Source:
    """A source of the pictures that are wanted; no other is decoded."""
    parts = [side for side in sides if side is not None]
    named = [part.names for part in parts if part.names]
    if len(set(named)) > 1:
        raise DataError(
            f"the train and the test files of '{name}' name other classes: they must agree."
        )
    where = [f"{name} {side} labels" for side in ("train", "test")]
    labels, names = arrays.number([p.labels for p in parts], named[0] if named else None, where)
    train, test = choose_rows(labels, names, counts, test_share, seed)
    images = decode([(parts[0], train), (parts[-1], test)], size, strict, store=store)
    if not all(map(len, images.x)):
        raise nothing_read(name, images.skipped)
    train, test = train[images.rows[0]], test[images.rows[1]]
    y, test_y = torch.from_numpy(labels[0][train]), torch.from_numpy(labels[-1][test])
    notes = levels_note(images.levels)
    return Source(
        name, images.x[0], y, images.x[1], test_y, names, images.skipped, images.levels, notes
    )
