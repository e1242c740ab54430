"""Fit: how an image of any shape becomes a square, distorted, cropped or padded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from PIL import Image

from holdfast.core.errors import ConfigError

Fit = Literal["squash", "crop", "pad"]
FITS: tuple[Fit, ...] = ("squash", "crop", "pad")
GREY = (127, 127, 127)  # around an image that is padded: near 0 for networks of photographs
GAP = 3.0  # how many times larger than needed an image stays when it is first reduced by averaging


@dataclass(frozen=True)
class Square:
    """The square an image is to become.

    ``squash`` resizes height and width apart, and so distorts. ``crop`` resizes the shorter side and
    keeps the centre. ``pad`` resizes the longer side and puts grey around.

    Args:
        side: of the square, in pixels.
        fit: squash, crop or pad.
        resize: what the shorter side becomes before the centre is cropped; 0 is the side, so that no
            more than needed is lost.

    Raises:
        ConfigError: for another fit, or less to crop from than the side.
    """

    side: int
    fit: str = "squash"
    resize: int = 0

    def __post_init__(self) -> None:
        if self.fit not in FITS:
            raise ConfigError(f"the fit '{self.fit}' is unknown: use {', '.join(FITS)}.")
        if 0 < self.resize < self.side:
            raise ConfigError(
                f"a square of {self.side} pixels cannot be cropped from a side of {self.resize}: "
                f"resize to {self.side} or more."
            )

    def least(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) below which an image must not be decoded, for formats that can be reduced."""
        if self.fit == "squash":
            return self.side, self.side
        if self.fit == "crop":
            short = self.resize or self.side
            return short, short
        return self._inside(width, height)

    def __call__(self, image: Image.Image) -> Image.Image:
        """The RGB image as the square."""
        if self.fit == "pad":
            return self._padded(image)
        box = 0.0, 0.0, float(image.width), float(image.height)
        if self.fit == "crop":
            edge = min(image.size) * self.side / (self.resize or self.side)
            left, top = (image.width - edge) / 2, (image.height - edge) / 2
            box = (left, top, left + edge, top + edge)
        if image.size == (self.side, self.side) and box[2] - box[0] == self.side:
            return image
        return _resized(image, (self.side, self.side), box)

    def _inside(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) of an image that fits into the square, its shape unchanged."""
        longer = max(width, height)
        short = max(1, round(min(width, height) * self.side / longer))
        return (self.side, short) if width == longer else (short, self.side)

    def _padded(self, image: Image.Image) -> Image.Image:
        size = self._inside(*image.size)
        if image.size != size:
            image = _resized(image, size)
        square = Image.new("RGB", (self.side, self.side), GREY)
        square.paste(image, ((self.side - size[0]) // 2, (self.side - size[1]) // 2))
        return square


def _resized(
    image: Image.Image,
    size: tuple[int, int],
    box: tuple[float, float, float, float] | None = None,
) -> Image.Image:
    return image.resize(size, Image.Resampling.BICUBIC, box, reducing_gap=GAP)
