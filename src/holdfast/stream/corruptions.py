"""Corruptions: images made worse in a named way, at one of five severities.

The constants are ours: these are not the images of the published benchmarks of corrupted CIFAR or ImageNet,
and accuracies on them must not be set beside theirs. Lengths are in 32nds of an image's shorter
side, and half a pixel at least.
What is drawn depends on the corruption's name and on the number of the row alone, so that an image is
corrupted alike whenever it is read, alone or among others; severities share their draws.
"""

from __future__ import annotations

import io
import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as F

from holdfast.core.errors import ConfigError
from holdfast.core.filed import dense
from holdfast.core.registry import Registry

CHUNK = 1024  # images at a time
STEPS = 9  # places along a motion
SEVERITIES = (1, 2, 3, 4, 5)


class Chance:
    """A generator for each row: what it draws depends on the row's number and on a name alone.

    Args:
        name: of what it is for.
        rows: the rows' numbers.
    """

    def __init__(self, name: str, rows: Sequence[int]):
        purpose = zlib.crc32(name.encode())
        self.generators = [np.random.default_rng([row, purpose]) for row in rows]

    def each(self, draw: Callable[[np.random.Generator], np.ndarray]) -> Tensor:
        """(N, ...) float32, one draw a row."""
        return torch.from_numpy(np.stack([draw(g) for g in self.generators]).astype(np.float32))

    def normal(self, *shape: int) -> Tensor:
        """(N, ...) standard normal numbers."""
        return self.each(lambda g: g.standard_normal(shape, np.float32))

    def uniform(self, *shape: int) -> Tensor:
        """(N, ...) numbers in [0, 1)."""
        return self.each(lambda g: g.random(shape, np.float32))


Change = Callable[[Tensor, float, Chance], Tensor]


@dataclass(frozen=True)
class Corruption:
    """One way of making images worse.

    Attributes:
        change: of (N, C, H, W) images in [0, 1], by a level and what is drawn.
        levels: by severity, 1 to 5.
        colour: whether it needs three channels.
    """

    change: Change
    levels: tuple[float, ...]
    colour: bool = False


CORRUPTIONS: Registry[Corruption] = Registry("corruption", module="holdfast.stream")


def corruption(name: str, *levels: float, colour: bool = False) -> Callable[[Change], Change]:
    """Register a corruption under a name, with its level at each severity."""

    def add(change: Change) -> Change:
        CORRUPTIONS.add(name, Corruption(change, levels, colour))
        return change

    return add


def corrupted(
    images: UInt8[Tensor, "n c h w"],
    name: str,
    severity: int = 3,
    rows: Sequence[int] | None = None,
) -> UInt8[Tensor, "n c h w"]:
    """Images under a corruption of a severity.

    Args:
        images: (N, C, H, W) uint8.
        name: of the corruption.
        severity: 1 to 5.
        rows: the numbers of the rows, from which chance follows; None counts from 0.

    Raises:
        ConfigError: for an unknown name or severity, or colours that the images lack.
    """
    kind = CORRUPTIONS.entry(name).value
    if severity not in SEVERITIES:
        raise ConfigError(
            f"the severity of {name} must be a whole number from 1 to 5, not {severity}."
        )
    if kind.colour and images.shape[1] != 3:
        raise ConfigError(
            f"the corruption {name} needs images of three channels, not {images.shape[1]}."
        )
    level, worse = kind.levels[severity - 1], []
    rows = range(len(images)) if rows is None else rows
    for start in range(0, len(images), CHUNK):
        x = dense(images[start : start + CHUNK]).float() / 255
        chance = Chance(name, rows[start : start + CHUNK])
        worse.append((kind.change(x, level, chance).clamp(0, 1) * 255).round().byte())
    return torch.cat(worse) if worse else images.clone()


def _unit(x: Tensor) -> float:
    return max(min(x.shape[2:]) / 32, 0.5)


@corruption("gaussian_noise", 0.04, 0.08, 0.12, 0.18, 0.26)
def _gaussian_noise(x: Tensor, level: float, chance: Chance) -> Tensor:
    return x + level * chance.normal(*x.shape[1:])


@corruption("shot_noise", 80.0, 40.0, 20.0, 10.0, 5.0)
def _shot_noise(x: Tensor, level: float, chance: Chance) -> Tensor:
    light = iter(x.numpy())
    return chance.each(lambda g: g.poisson(next(light) * level)) / level


@corruption("impulse_noise", 0.02, 0.05, 0.09, 0.15, 0.25)
def _impulse_noise(x: Tensor, level: float, chance: Chance) -> Tensor:
    drawn = chance.uniform(*x.shape[1:])
    return torch.where(drawn < level / 2, 0.0, torch.where(drawn < level, 1.0, x))


@corruption("speckle_noise", 0.1, 0.2, 0.3, 0.45, 0.6)
def _speckle_noise(x: Tensor, level: float, chance: Chance) -> Tensor:
    return x * (1 + level * chance.normal(*x.shape[1:]))


@corruption("gaussian_blur", 0.6, 0.9, 1.3, 1.8, 2.5)
def _gaussian_blur(x: Tensor, level: float, chance: Chance) -> Tensor:
    sigma = level * _unit(x)
    along = torch.arange(-math.ceil(3 * sigma), math.ceil(3 * sigma) + 1)
    line = (-(along**2) / (2 * sigma**2)).exp()
    return _filtered(x, line[:, None] * line)


@corruption("defocus_blur", 1.0, 1.5, 2.0, 2.8, 4.0)
def _defocus_blur(x: Tensor, level: float, chance: Chance) -> Tensor:
    radius = level * _unit(x)
    along = torch.arange(-math.ceil(radius), math.ceil(radius) + 1)
    away = (along[:, None] ** 2 + along**2).sqrt()
    return _filtered(x, (radius + 0.5 - away).clamp(0, 1))


@corruption("motion_blur", 3.0, 5.0, 7.0, 10.0, 14.0)
def _motion_blur(x: Tensor, level: float, chance: Chance) -> Tensor:
    angle = math.pi * chance.uniform()
    way = torch.stack([angle.cos(), angle.sin()], 1)[:, :, None, None].expand(-1, 2, *x.shape[2:])
    length = level * _unit(x)
    places = torch.linspace(-length / 2, length / 2, STEPS).tolist()
    return torch.stack([_displaced(x, place * way) for place in places]).mean(0)


@corruption("brightness", 0.08, 0.16, 0.24, 0.33, 0.43)
def _brightness(x: Tensor, level: float, chance: Chance) -> Tensor:
    return x + level


@corruption("contrast", 0.7, 0.5, 0.35, 0.22, 0.12)
def _contrast(x: Tensor, level: float, chance: Chance) -> Tensor:
    mean = x.mean((1, 2, 3), keepdim=True)
    return mean + level * (x - mean)


@corruption("saturate", 1.6, 2.2, 3.0, 4.5, 7.0, colour=True)
def _saturate(x: Tensor, level: float, chance: Chance) -> Tensor:
    grey = x.mean(1, keepdim=True)
    return grey + level * (x - grey)


@corruption("pixelate", 0.75, 0.5, 0.375, 0.25, 0.1875)
def _pixelate(x: Tensor, level: float, chance: Chance) -> Tensor:
    height, width = (max(2, round(level * side)) for side in x.shape[2:])
    return F.interpolate(
        F.adaptive_avg_pool2d(x, (height, width)), list(x.shape[2:]), mode="nearest"
    )


@corruption("jpeg", 50, 30, 18, 10, 5)
def _jpeg(x: Tensor, level: float, chance: Chance) -> Tensor:
    from PIL import Image

    def through(image: np.ndarray) -> np.ndarray:
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=int(level))
        return np.asarray(Image.open(file))

    rows = (x * 255).round().byte().permute(0, 2, 3, 1).numpy()
    grey = rows.shape[3] == 1
    worse = np.stack([through(row[..., 0] if grey else row) for row in rows])
    return torch.from_numpy(worse[..., None] if grey else worse).permute(0, 3, 1, 2).float() / 255


@corruption("haze", 0.25, 0.38, 0.5, 0.62, 0.75)
def _haze(x: Tensor, level: float, chance: Chance) -> Tensor:
    fog = sum(_smooth(x, chance, 1, cells) * 2 / cells for cells in (2, 4, 8))
    assert isinstance(fog, Tensor)
    low, high = (f((2, 3), keepdim=True) for f in (fog.amin, fog.amax))
    thick = level * (0.5 + 0.5 * (fog - low) / (high - low).clamp_min(1e-6))
    return x * (1 - thick) + 0.9 * thick


@corruption("elastic", 0.7, 1.1, 1.6, 2.2, 3.0)
def _elastic(x: Tensor, level: float, chance: Chance) -> Tensor:
    return _displaced(x, level * _unit(x) * _smooth(x, chance, 2, 4))


def _smooth(x: Tensor, chance: Chance, fields: int, cells: int) -> Float[Tensor, "n k h w"]:
    """Normal numbers on a coarse grid, bilinear between them."""
    drawn = chance.normal(fields, cells, cells)
    return F.interpolate(drawn, list(x.shape[2:]), mode="bilinear", align_corners=True)


def _displaced(x: Tensor, by: Float[Tensor, "n 2 h w"]) -> Tensor:
    """Images read at places moved by so many pixels to the right and down."""
    h, w = x.shape[2:]
    still = torch.eye(2, 3).expand(len(x), 2, 3)
    grid = F.affine_grid(still, list(x.shape), align_corners=False)
    pixels = by.permute(0, 2, 3, 1) * torch.tensor([2 / w, 2 / h])
    return F.grid_sample(x, grid + pixels, padding_mode="border", align_corners=False)


def _filtered(x: Tensor, kernel: Float[Tensor, "k k"]) -> Tensor:
    """Every channel under a kernel whose weights add to 1; the border goes on beyond itself."""
    channels, reach = x.shape[1], kernel.shape[0] // 2
    weights = (kernel / kernel.sum()).expand(channels, 1, *kernel.shape)
    return F.conv2d(F.pad(x, [reach] * 4, "replicate"), weights, groups=channels)
