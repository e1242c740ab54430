"""Pictures: labelled images that are still encoded, and how they become uint8 pixels."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from holdfast.core.errors import DataError
from holdfast.stream.fit import Fit, Square
from holdfast.stream.levels import Levels, extent, is_deep, spanning
from holdfast.stream.pixel_store import Lost, PixelStore, content_key, in_threads
from holdfast.stream.pixels import Encoded, NeedsLevels, decoded, opened, require_affordable
from holdfast.stream.walk import Skipped

DEFAULT_SIZE = 64  # what images are resized to when their sizes differ
ROOM = 4 * 2**30  # bytes: the most that images kept at their own size may take


@dataclass(frozen=True)
class Pictures:
    """Labelled images that are not decoded yet, so that choosing rows costs no decoding.

    Attributes:
        labels: (N,) integers or strings, as they were stored.
        names: what the integers mean, where the files say so.
        images: for ascending row numbers, yields where each image is and the image as stored.
    """

    labels: np.ndarray
    names: tuple[str, ...] | None
    images: Callable[[np.ndarray], Iterator[tuple[str, Encoded]]]


@dataclass(frozen=True)
class Decoded:
    """Pixels of the images that could be read.

    Attributes:
        x: for each part, (M, 3, H, W) uint8.
        rows: for each part, the (M,) places, among those that were asked for, of the images in x.
        skipped: the images that could not be read, each with the reason.
        levels: by which greys of more than 8 bits were read; None if there were none.
    """

    x: list[UInt8[Tensor, "_ 3 h w"]]
    rows: list[np.ndarray]
    skipped: Skipped
    levels: Levels | None


def decode(
    parts: Sequence[tuple[Pictures, np.ndarray]],
    size: int | None = None,
    strict: bool = False,
    levels: Levels | None = None,
    fit: Fit = "squash",
    resize: int = 0,
    store: PixelStore | None = None,
) -> Decoded:
    """The chosen rows of every part as pixels, all of one size.

    Every image becomes RGB, turned upright by its EXIF tag and composited on white where it is
    transparent. Images that share one size keep it unless ``size`` is given; if they differ, they
    are resized to 64 x 64. Greys of more than 8 bits are read by one range, that of the first part
    (`Levels`). A few images are decoded at a time, one a thread, straight into their places.

    Args:
        parts: pictures, and the (M,) ascending numbers of the rows wanted of them.
        size: the side of the square that every image is resized to.
        strict: refuse an image that cannot be read, in place of skipping it.
        levels: of greys of more than 8 bits, where they are known.
        fit: how they become squares of that side: squash, crop or pad (`Square`).
        resize: what the shorter side becomes before a crop; 0 is ``size``.
        store: takes the pixels that would not fit into memory; None keeps all in memory.

    Raises:
        ConfigError: for a fit that is none, or a store that cannot be written.
        DataError: if images of one size would not fit into memory; if strict, for the first image
            that cannot be read.
    """
    square = Square(size, fit, resize) if size else None
    while True:
        try:
            with careful():
                return _decode(parts, square, strict, levels, store)
        except _SizesDiffer:
            square = Square(DEFAULT_SIZE, fit)
        except NeedsLevels:
            with careful():
                levels = levels_of(parts)


class _SizesDiffer(Exception):  # noqa: N818 - a signal, no error
    pass


@contextmanager
def careful() -> Iterator[None]:
    """No warning about odd metadata, and no image that takes more memory than its file suggests."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def _decode(
    parts: Sequence[tuple[Pictures, np.ndarray]],
    square: Square | None,
    strict: bool,
    levels: Levels | None,
    store: PixelStore | None,
) -> Decoded:
    total = sum(len(rows) for _, rows in parts)
    shape = (square.side, square.side) if square else _first_shape(parts, levels)
    columns, places, skipped = [], [], []
    for pictures, rows in parts:
        if store is not None and store.wants(len(rows) * 3 * shape[0] * shape[1]):
            x, good, lost = _on_disk(pictures, rows, square, levels, shape, store)
        else:
            if square is None:
                _require_room(total, shape)
            x, good, lost = _in_memory(pictures, rows, square, levels, shape)
        if strict and lost:
            raise lost[0][1]
        columns.append(x)
        places.append(good)
        skipped += [reason(where, error) for where, error in lost]
    return Decoded(columns, places, skipped, levels)


def _first_shape(
    parts: Sequence[tuple[Pictures, np.ndarray]], levels: Levels | None
) -> tuple[int, int]:
    """(H, W) of the first image that can be read."""
    for pictures, rows in parts:
        for where, encoded in pictures.images(rows):
            try:
                height, width = decoded(where, encoded, None, levels).shape[:2]
            except DataError:
                continue
            return height, width
    return 0, 0


def _in_memory(
    pictures: Pictures,
    rows: np.ndarray,
    square: Square | None,
    levels: Levels | None,
    shape: tuple[int, int],
) -> tuple[Tensor, np.ndarray, Lost]:
    """Pixels, straight into their place; which rows they are; and the images that cannot be read."""
    x = np.empty((len(rows), 3, *shape), np.uint8)
    good: list[int] = []
    lost: Lost = []
    for i, (where, pixels) in enumerate(in_threads(pictures.images(rows), square, levels)):
        if isinstance(pixels, DataError):
            lost.append((where, pixels))
            continue
        if pixels.shape[:2] != shape:
            raise _SizesDiffer
        x[len(good)] = pixels.transpose(2, 0, 1)
        good.append(i)
    return torch.from_numpy(_first(x, len(good))), np.array(good, np.int64), lost


def _on_disk(
    pictures: Pictures,
    rows: np.ndarray,
    square: Square | None,
    levels: Levels | None,
    shape: tuple[int, int],
    store: PixelStore,
) -> tuple[Tensor, np.ndarray, Lost]:
    """The same, in a file, decoded once."""
    key = content_key(pictures.images(rows), square, levels)
    if (kept := store.find(key)) is None:
        if not store.keep(key, (3, *shape), in_threads(pictures.images(rows), square, levels)):
            raise _SizesDiffer
        kept = store.find(key)
    if kept is None:
        raise DataError(f"the pixels in {store.folder} were taken away while they were read.")
    return kept


def _first(x: np.ndarray, count: int) -> np.ndarray:
    """The first rows; a copy if they are not all, so that the rest is freed."""
    return x if len(x) == count else x[:count].copy()


def reason(where: str, error: DataError) -> tuple[str, str]:
    """A skipped image, and the error's words without its name."""
    why = str(error).removeprefix(where).rstrip(".").strip()
    return where, " ".join(why.split())


def levels_of(parts: Sequence[tuple[Pictures, np.ndarray]]) -> Levels:
    """Of the first part that has greys of more than 8 bits."""
    for pictures, rows in parts:
        extents = []
        for _, encoded in pictures.images(rows):
            try:
                with opened(encoded) as image:
                    require_affordable(image)
                    extents += [extent(image)] if is_deep(image) else []
            except Exception:
                continue
        levels = spanning(extents)
        if levels is not None:
            return levels
    return Levels(0, 16)  # none can be read


def _require_room(count: int, shape: tuple[int, int]) -> None:
    need = count * 3 * shape[0] * shape[1]
    if need > ROOM:
        raise DataError(
            f"{count} images of {shape[1]} x {shape[0]} pixels need {need / 2**30:.1f} GiB of memory: "
            f"give a size to resize them to, such as size={DEFAULT_SIZE}."
        )
