"""Pictures: labelled images that are still encoded, and how they become uint8 pixels."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image, ImageOps
from torch import Tensor

from holdfast.errors import DataError

DEFAULT_SIZE = 64  # what images are resized to when their sizes differ
ROOM = 4 * 2**30  # bytes: the most that images kept at their own size may take

Encoded = bytes | Path | None  # an image as found: its bytes, the file that holds it, or nothing


@dataclass(frozen=True)
class Pictures:
    """Labelled images that are not decoded yet, so that choosing rows costs no decoding.

    Attributes:
        labels: (N,) integers or strings, as they were found.
        names: what the integers mean, where the files say so.
        images: for ascending row numbers, yields where each image is and the image as found.
    """

    labels: np.ndarray
    names: tuple[str, ...] | None
    images: Callable[[np.ndarray], Iterator[tuple[str, Encoded]]]


def decode(
    parts: Sequence[tuple[Pictures, np.ndarray]], size: int | None = None
) -> list[UInt8[Tensor, "_ 3 h w"]]:
    """The chosen rows of every part as pixels, all of one size.

    Every image becomes RGB, turned upright by its EXIF tag and composited on white where it is
    transparent. Images that share one size keep it unless ``size`` is given; if they differ, they
    are resized to 64 x 64. One image is decoded at a time, straight into its place.

    Args:
        parts: pictures, and the (M,) ascending numbers of the rows wanted of them.
        size: the side of the square that every image is resized to.

    Returns:
        For each part, (M, 3, H, W) uint8.

    Raises:
        DataError: if an image is corrupt or too large, by file or row number.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about odd metadata; a true bomb raises all the same
        try:
            return _decode(parts, size)
        except _SizesDiffer:
            return _decode(parts, DEFAULT_SIZE)


class _SizesDiffer(Exception):  # noqa: N818 - a signal, no error
    pass


def _decode(parts: Sequence[tuple[Pictures, np.ndarray]], size: int | None) -> list[Tensor]:
    total = sum(len(rows) for _, rows in parts)
    shape = (size, size) if size else None
    done = []
    for pictures, rows in parts:
        out = np.empty((0, 3, 0, 0), np.uint8)
        for i, (where, encoded) in enumerate(pictures.images(rows)):
            pixels = decoded(where, encoded, size)
            shape = shape or _affordable(total, pixels.shape[:2])
            if pixels.shape[:2] != shape:
                raise _SizesDiffer
            if i == 0:
                out = np.empty((len(rows), 3, *shape), np.uint8)
            out[i] = pixels.transpose(2, 0, 1)
        done.append(torch.from_numpy(out))
    return done


def _affordable(count: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    need = count * 3 * shape[0] * shape[1]
    if need > ROOM:
        raise DataError(
            f"{count} images of {shape[1]} x {shape[0]} pixels need {need / 2**30:.1f} GiB of memory: "
            f"give a size to resize them to, such as size={DEFAULT_SIZE}."
        )
    return shape


def stacked(images: Sequence[Image.Image]) -> UInt8[Tensor, "n 3 h w"]:
    """Opened images as pixels: RGB, upright, on white where they are transparent.

    Raises:
        DataError: if their sizes differ, or an image is corrupt or holds floats.
    """
    rows = []
    for i, image in enumerate(images):
        try:
            rows.append(np.asarray(_rgb(ImageOps.exif_transpose(image))))
        except Exception as error:  # what a broken file raises depends on its format
            reason = str(error).rstrip(".")
            raise DataError(f"image {i} cannot be read ({reason}): repair or remove it.") from error
        if rows[i].shape != rows[0].shape:
            sizes = " and ".join(f"{row.shape[1]} x {row.shape[0]}" for row in (rows[0], rows[i]))
            raise DataError(f"images 0 and {i} are of {sizes} pixels: resize them to one size.")
    return torch.from_numpy(np.stack(rows).transpose(0, 3, 1, 2).copy())


def decoded(where: str, encoded: Encoded, size: int | None) -> np.ndarray:
    """(H, W, 3) uint8 of one image; of an animation, the first picture.

    Raises:
        DataError: if it cannot be read, by ``where``.
    """
    if encoded is None:
        raise DataError(f"{where} holds no image: every row needs one.")
    try:
        with Image.open(io.BytesIO(encoded) if isinstance(encoded, bytes) else encoded) as image:
            if size:
                image.draft(image.mode, (size, size))  # a huge JPEG is decoded small
            ImageOps.exif_transpose(image, in_place=True)
            rgb = _rgb(image)
            if size and rgb.size != (size, size):
                rgb = rgb.resize((size, size), Image.Resampling.BICUBIC, reducing_gap=3.0)
            return np.asarray(rgb)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        reason = str(error).rstrip(".")
        raise DataError(f"{where} is too large to decode safely ({reason}): shrink it.") from error
    except Exception as error:  # what a broken file raises depends on its format
        reason = str(error).rstrip(".")
        raise DataError(
            f"{where} is not a readable image ({reason}): repair or remove it."
        ) from error


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        raise ValueError("its pixels are floats, not 8 or 16 bits")
    if image.mode.startswith("I"):  # 16 bits, which Pillow would clip instead of scale
        grey = (np.asarray(image) // 257).clip(0, 255).astype(np.uint8)
        return Image.fromarray(grey).convert("RGB")
    if image.mode[-1] in "aA" or "transparency" in image.info:
        clear = image.convert("RGBA")
        image = Image.new("RGBA", clear.size, "white")
        image.alpha_composite(clear)
    return image.convert("RGB")
