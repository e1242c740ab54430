"""A small JPEG of pixels."""

from __future__ import annotations

import io

import numpy as np
from jaxtyping import UInt8
from PIL import Image


def thumbnail(pixels: UInt8[np.ndarray, "3 h w"], side: int = 112) -> bytes:
    """The bytes of a JPEG whose longer side is at most ``side`` pixels.

    Args:
        pixels: (3, H, W) RGB.
        side: in pixels; a smaller image stays as it is.

    >>> thumbnail(np.zeros((3, 300, 200), np.uint8))[:3] == bytes([255, 216, 255])
    True
    """
    image = Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))
    image.thumbnail((side, side))
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=82, optimize=True)
    return stream.getvalue()
