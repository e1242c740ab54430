"""Levels: how greys of more than 8 bits become 8, by one rule for all images of a data set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from holdfast.core.errors import DataError

AT_A_TIME = 2**18  # values
BITS = (8, 10, 12, 14, 16)  # what scanners and cameras use, in files of 16 or 32 bits


class Levels(NamedTuple):
    """A range of grey values, ``low`` to ``low + 2^bits - 1``, from black to white.

    A scanner writes 12 bits into files of 16, a tomograph numbers from -1024 on into files of 32:
    neither uses the range of its files. The range is the narrowest of 8, 10, 12, 14 or 16 bits
    that holds the values of the training images; it starts at 0, or at a power of two below 0
    where there are negative values.
    """

    low: int
    bits: int

    @classmethod
    def of(cls, least: int, most: int) -> Levels:
        """The range that holds values from ``least`` to ``most``.

        Raises:
            ValueError: if it takes more than 16 bits.

        >>> Levels.of(0, 4000), Levels.of(-1000, 3071)
        (Levels(low=0, bits=12), Levels(low=-1024, bits=12))
        """
        low = 0 if least >= 0 else -(1 << (-least - 1).bit_length())
        for bits in BITS:
            if most - low < 2**bits:
                return cls(low, bits)
        raise ValueError(f"greys run from {least} to {most}, more than 16 bits hold: rescale them")

    @classmethod
    def from_data(cls, data: object) -> Levels | None:
        """From JSON data, of whatever origin; None from None.

        Raises:
            DataError: for data that are no range.
        """
        match data:
            case None:
                return None
            case [int(low), int(bits)] if bits in BITS and abs(low) <= 2**16:
                return cls(low, bits)
        raise DataError(f"{data!r} are no levels of greys: two whole numbers, low and bits.")

    @property
    def white(self) -> int:
        """The value that becomes 255."""
        return self.low + 2**self.bits - 1

    def to_bytes(self, values: np.ndarray) -> np.ndarray:
        """floor(255 (v - low) / (white - low)) as uint8; values outside become 0 or 255.

        >>> Levels(0, 12).to_bytes(np.array([0, 2048, 4095, 9999])).tolist()
        [0, 127, 255, 255]
        """
        greys, flat = np.empty(values.shape, np.uint8), values.reshape(-1)
        out = greys.reshape(-1)
        for start in range(0, flat.size, AT_A_TIME):  # no wide copy of a large image
            some = slice(start, start + AT_A_TIME)
            inside = flat[some].clip(self.low, self.white).astype(np.int64) - self.low
            out[some] = inside * 255 // (2**self.bits - 1)
        return greys

    def __str__(self) -> str:
        return (
            f"images of more than 8 bits are read as greys of {self.bits} bits: {self.low} is black, "
            f"{self.white} is white"
        )


def is_deep(image: Image.Image) -> bool:
    """Whether an image holds greys of more than 8 bits, by its mode."""
    return image.mode.startswith("I")


def extent(image: Image.Image) -> tuple[int, int]:
    """The least and the greatest grey of an image.

    Raises:
        ValueError: if they are too far apart for 16 bits.
    """
    greys = np.asarray(image)
    least, most = int(greys.min()), int(greys.max())
    Levels.of(least, most)
    return least, most


def spanning(extents: Sequence[tuple[int, int]]) -> Levels | None:
    """The levels that hold the greys of several images; None for no image.

    Raises:
        DataError: if together they are too far apart for 16 bits.
    """
    if not extents:
        return None
    try:
        return Levels.of(min(least for least, _ in extents), max(most for _, most in extents))
    except ValueError as error:
        raise DataError(f"the images share no scale of greys: together, {error}.") from None
