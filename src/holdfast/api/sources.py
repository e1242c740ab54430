"""What a program has in its hands, listed as the command line lists files: arrays, images, vectors."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from PIL import Image, ImageOps

from holdfast.core.errors import ConfigError, DataError
from holdfast.stream.arrays import inputs
from holdfast.stream.labels import labels_of
from holdfast.stream.listed import Listed
from holdfast.stream.pictures import Pictures
from holdfast.stream.pixels import Encoded

WHERE = "the arrays"


def labelled_source(data: Any, where: str = "data") -> Path | Listed:
    """Labelled data: a path of any kind, or inputs and labels in memory.

    Args:
        data: a path or name of a source (`holdfast.stream.list_labelled`); or a pair (X, y), X as for
            `unlabelled_source`, y N labels, which become names.
        where: what to call it in an error.

    Raises:
        ConfigError: for anything else.
        DataError: for inputs and labels that do not fit.
    """
    if isinstance(data, (str, Path)):
        return Path(data)
    if isinstance(data, Listed):
        return data
    if not isinstance(data, (tuple, list)) or len(data) != 2:
        raise ConfigError(
            f"{where} must be a path, or a pair of inputs and labels, not {type(data).__name__}."
        )
    listed, labels = unlabelled_source(data[0]), labels_of(data[1])
    if len(listed.files) != len(labels):
        raise DataError(
            f"{where} has {len(listed.files)} inputs and {len(labels)} labels: they must match."
        )
    return Listed(
        WHERE,
        listed.files,
        [str(label) for label in labels.tolist()],
        listed.pictures,
        listed.rows,
        listed.vectors,
    )


def unlabelled_source(x: Any) -> Listed:
    """Inputs in memory, none looked at yet; named by their place, from 0.

    Args:
        x: PIL images of any sizes; pixels (N, C, H, W), (N, H, W, C) or (N, H, W), uint8 or float in
            [0, 1]; or feature vectors (N, D).

    Raises:
        DataError: for an array that is none of these.
    """
    if isinstance(x, Image.Image):
        x = [x]
    if isinstance(x, (list, tuple)) and any(isinstance(item, Image.Image) for item in x):
        return _images(x)
    array = inputs(_array(x), "X")
    if array.ndim == 2:
        return Listed(WHERE, _names(len(array)), [], vectors=torch.from_numpy(array))
    return _images([_image(pixels) for pixels in array])


def _array(x: Any) -> ArrayLike:
    return x if hasattr(x, "shape") else np.asarray(x)


def _image(pixels: np.ndarray) -> Image.Image:
    """(C, H, W) pixels as an image."""
    rows = np.moveaxis(pixels, 0, -1)
    return Image.fromarray(np.ascontiguousarray(rows[..., 0] if rows.shape[-1] == 1 else rows))


def _images(images: Sequence[Any]) -> Listed:
    """PIL images as if each were a file; encoded when it is its turn."""
    strange = next((i for i, item in enumerate(images) if not isinstance(item, Image.Image)), None)
    if strange is not None:
        kind = type(images[strange]).__name__
        raise DataError(f"input {strange} is a {kind}: all must be PIL images.")

    def stored(rows: np.ndarray) -> Iterator[tuple[str, Encoded]]:
        return ((f"input {i}", _encoded(images[i])) for i in rows)

    pictures = Pictures(np.empty(0), None, stored)
    return Listed(WHERE, _names(len(images)), [], pictures, np.arange(len(images)))


def _encoded(image: Image.Image) -> bytes:
    """The pixels of an image, none of them changed."""
    buffer = io.BytesIO()
    ImageOps.exif_transpose(image).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _names(count: int) -> list[Path]:
    return [Path(str(i)) for i in range(count)]
