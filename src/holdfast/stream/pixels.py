"""Pixels: one encoded or opened image as uint8 RGB."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from holdfast.core.errors import DataError
from holdfast.stream.fit import Square
from holdfast.stream.levels import Levels, extent, is_deep, spanning
from holdfast.stream.walk import readable

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "JPEG2000", "AVIF")

BUDGET = 256 * 2**20  # bytes: what decoding one image may take
BUFFERED = ("WEBP", "AVIF", "JPEG2000")  # formats that are decoded beside the image

Encoded = bytes | Path | None  # an image as stored: its bytes, the file that holds it, or nothing


class NeedsLevels(Exception):  # noqa: N818 - a signal, no error
    """An image has greys of more than 8 bits, and nothing says which range they use."""


@cache
def formats() -> tuple[str, ...]:
    """The formats that are read, as far as this Pillow knows them; none that runs another program."""
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def opened(encoded: Encoded) -> Image.Image:
    """An image whose pixels are not read yet (whatever Pillow raises)."""
    assert encoded is not None
    source = io.BytesIO(encoded) if isinstance(encoded, bytes) else encoded
    return Image.open(source, formats=formats())


def require_affordable(image: Image.Image) -> None:
    """Refuse an image whose pixels would take more memory than `BUDGET`, before any is decoded.

    Counted are the bytes a pixel of everything that exists at once: the image, its copies in RGBA
    and in RGB, and the array. A small file can hold hundreds of megapixels of one colour.

    Raises:
        DecompressionBombError: of Pillow, with its size and what is allowed.
    """
    mode, (width, height) = image.mode, image.size
    each = 4 + 4 * (image.format in BUFFERED)  # Pillow has 4 bytes a pixel for most modes
    if is_clear(image):
        each += 12  # itself in RGBA, white, and both composed
    elif is_deep(image):
        each += 4 + 1 + 4  # as an array, in 8 bits, and in RGB
    else:
        each += 3 + 4 * (mode != "RGB")
    need = width * height * each
    if need > BUDGET:
        raise Image.DecompressionBombError(
            f"{width} x {height} pixels of mode {mode} take {need / 2**20:,.0f} MiB to decode, more than "
            f"the {BUDGET / 2**20:,.0f} MiB allowed"
        )


def is_clear(image: Image.Image) -> bool:
    """Whether an image may be transparent somewhere."""
    return image.mode[-1] in "aA" or "transparency" in image.info


def stacked(
    images: Sequence[Any], levels: Levels | None = None
) -> tuple[UInt8[Tensor, "n 3 h w"], Levels | None]:
    """Opened images as pixels: RGB, upright, on white where they are transparent; and their levels.

    Raises:
        DataError: if their sizes differ, or an image is none, is corrupt or holds floats.
    """
    extents, rows = [], []
    for i, image in enumerate(images):
        if not isinstance(image, Image.Image):
            raise DataError(f"image {i} is a {type(image).__name__}: all must be PIL images.")
        with _named(i):
            require_affordable(image)
            extents += [extent(image)] if is_deep(image) else []
    levels = levels or spanning(extents)
    for i, image in enumerate(images):
        with _named(i):
            rows.append(np.asarray(_rgb(ImageOps.exif_transpose(image), levels)))
        if rows[i].shape != rows[0].shape:
            sizes = " and ".join(f"{row.shape[1]} x {row.shape[0]}" for row in (rows[0], rows[i]))
            raise DataError(f"images 0 and {i} are of {sizes} pixels: resize them to one size.")
    return torch.from_numpy(np.stack(rows).transpose(0, 3, 1, 2).copy()), levels


def unpacked(values: Any, levels: Levels | None = None) -> tuple[Any, Levels | None]:
    """Inputs as an array where they come one by one: in a list, an object array or a table's column.

    Args:
        values: PIL images, or arrays of one shape, one by one; anything else is passed through.
        levels: of greys of more than 8 bits; None finds them from these images.

    Returns:
        (N, 3, H, W) uint8 of images, (N, ...) of arrays; and the levels that were used.

    Raises:
        DataError: for one image alone, or images or arrays that do not go together.
    """
    if isinstance(values, Image.Image):
        raise DataError("X is a single image: give a list of images.")
    listed = isinstance(values, (list, tuple))
    column = not isinstance(values, Tensor) and not listed and np.asarray(values).dtype.kind == "O"
    items = list(values) if listed else list(np.asarray(values).ravel()) if column else []
    if any(isinstance(item, Image.Image) for item in items):
        return stacked(items, levels)
    if column and all(isinstance(item, (np.ndarray, Tensor)) for item in items):
        shapes = {tuple(item.shape) for item in items}
        if len(shapes) > 1:
            raise DataError(f"X holds arrays of shapes {shapes}: all must have one shape.")
        return np.stack([np.asarray(item) for item in items]), levels
    return (np.asarray(values) if listed else values), levels


@contextmanager
def _named(i: int) -> Iterator[None]:
    """Whatever an image raises, as one error that says which it is."""
    try:
        yield
    except Exception as error:  # what a broken file raises depends on its format
        reason = str(error).rstrip(".")
        raise DataError(f"image {i} cannot be read ({reason}): repair or remove it.") from error


def decoded(
    where: str, encoded: Encoded, square: Square | None, levels: Levels | None = None
) -> UInt8[np.ndarray, "h w 3"]:
    """The pixels of one image, as a square if one is asked for; of an animation, the first picture.

    Raises:
        DataError: if it cannot be read, by ``where``.
    """
    if encoded is None:
        raise DataError(f"{where} holds no image: every row needs one.")
    try:
        with opened(encoded) as image:
            if square:
                image.draft(image.mode, square.least(*image.size))  # a huge JPEG is decoded small
            require_affordable(image)
            tile = getattr(image, "tile", None)  # how it is stored, until it is decoded
            deep_colour = bool(tile) and ";16" in str(tile[0][3])
            ImageOps.exif_transpose(image, in_place=True)
            rgb = _rgb(image, levels)
            if deep_colour and not is_deep(image):
                _refuse_dim(rgb)
            return np.asarray(square(rgb) if square else rgb)
    except NeedsLevels:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        reason = str(error).rstrip(".")
        raise DataError(f"{where} is too large to decode safely ({reason}): shrink it.") from error
    except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
        raise DataError(f"{where} cannot be opened: {error.strerror}.") from error
    except Exception as error:  # what a broken file raises depends on its format
        unknown = isinstance(error, UnidentifiedImageError)
        reason = "in no format that is read" if unknown else readable(str(error)).rstrip(".")
        raise DataError(
            f"{where} is not a readable image ({reason}): repair or remove it."
        ) from error


def _rgb(image: Image.Image, levels: Levels | None) -> Image.Image:
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers: save them with 8 or 16 bits")
    if is_deep(image):  # Pillow would clip these instead of scaling them
        if levels is None:
            raise NeedsLevels
        extent(image)
        return Image.fromarray(levels.to_bytes(np.asarray(image))).convert("RGB")
    if is_clear(image):
        clear = image if image.mode == "RGBA" else image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", clear.size, "white"), clear)
    return image if image.mode == "RGB" else image.convert("RGB")


def _refuse_dim(rgb: Image.Image) -> None:
    """Pillow keeps the upper 8 bits of colours of 16: refuse an image that has nearly nothing there."""
    most = int(np.asarray(rgb).max())
    if 0 < most < 16:
        raise ValueError("its colours have 16 bits and use 12 or fewer: save them with 8 bits")
