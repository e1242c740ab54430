"""Lifts: fixed random functions of features, among which linear rules are no longer linear."""

from __future__ import annotations

import math
from functools import cache, lru_cache
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from holdfast.core.errors import unknown

LiftName = Literal["none", "random", "klda"]
LIFTS: tuple[LiftName, ...] = get_args(LiftName)
TIMES = 4  # lifted features, as a multiple of the features


class RandomFeatures(nn.Module):
    """relu(x R / sqrt f), with R (f, M) standard normal from a seed: it knows no data."""

    weight: Tensor

    def __init__(self, width: int, count: int, seed: int):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        weight = torch.randn((width, count), generator=generator, dtype=torch.float64)
        self.register_buffer("weight", weight)

    def forward(self, x: Float[Tensor, "n f"]) -> Float[Tensor, "n m"]:
        """(N, f) to (N, M)."""
        return nn.functional.relu(x @ self.weight.to(x) / x.shape[1] ** 0.5)


def lift_width(width: int) -> int:
    """M of a lift of f features: at least 4 f, and 2048 unless that is more than 16 f.

    >>> lift_width(12), lift_width(128), lift_width(1000)
    (192, 2048, 4000)
    """
    return max(4 * width, min(2048, 16 * width))


random_features = cache(RandomFeatures)  # made once for a width, a count and a seed


class FourierFeatures(nn.Module):
    """sqrt(2/M) cos(x W + b), W and b drawn from a seed.

    E phi(x).phi(y) = exp(-s ||x - y||^2). Without s rows of any length are brought to sqrt(f) first, for
    which s = 1 / (8 f) is right: then it knows no data.

    Args:
        width: f.
        count: M.
        seed: of W and b.
        sharpness: s; None is as above.

    Source: Rahimi and Recht, *Random features for large-scale kernel machines*, 2007; KLDA (Momeni, 2025)
    """

    weight: Tensor
    phase: Tensor

    def __init__(self, width: int, count: int, seed: int = 0, sharpness: float | None = None):
        super().__init__()
        self.unit = sharpness is None
        s = sharpness_of(width) if sharpness is None else sharpness
        generator = torch.Generator().manual_seed(seed)
        weight = torch.randn((width, count), generator=generator, dtype=torch.float64)
        self.register_buffer("weight", weight * (2 * s) ** 0.5)
        phase = torch.rand(count, generator=generator, dtype=torch.float64)
        self.register_buffer("phase", 2 * math.pi * phase)

    def forward(self, x: Float[Tensor, "n f"]) -> Float[Tensor, "n m"]:
        """(N, f) to (N, M)."""
        if self.unit:
            x = nn.functional.normalize(x, dim=1) * x.shape[1] ** 0.5
        wave = torch.cos(x @ self.weight.to(x) + self.phase.to(x))
        return (2 / self.weight.shape[1]) ** 0.5 * wave


def sharpness_of(width: int) -> float:
    """S of the kernel for rows of a width: an eighth of the inverse of their squared length."""
    return 1 / (8 * width)


fourier_features = cache(FourierFeatures)  # drawn once for a width and a count


class LiftedRows(nn.Module):
    """Unit rows x, and beside them gelu(x R_h) of H lifts: (N, f) to (N, f + H M).

    Args:
        width: f.
        count: M.
        lifts: H.
        seed: of R.
    """

    weight: Tensor

    def __init__(self, width: int, count: int, lifts: int, seed: int):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        weight = torch.randn((width, lifts * count), generator=generator, dtype=torch.float64)
        self.register_buffer("weight", weight)

    def forward(self, x: Float[Tensor, "n f"]) -> Float[Tensor, "n m"]:
        """[x, gelu(x R)] of x at length 1."""
        x = nn.functional.normalize(x, dim=1)
        return torch.cat([x, self.beside(x)], 1)

    def beside(self, x: Float[Tensor, "n f"]) -> Float[Tensor, "n m"]:
        """Gelu(x R)."""
        return nn.functional.gelu(x @ self.weight.to(x))


lifted_rows = lru_cache(maxsize=4)(LiftedRows)


def lifted(lift: LiftName, width: int) -> nn.Module:
    """The function of features that a lift is.

    Args:
        lift: ``none``, ``random`` (relu of a projection, as in RanPAC) or ``klda`` (Fourier features).
        width: f; the lift has 4 f features.

    Raises:
        ConfigError: for an unknown lift.
    """
    if lift == "none":
        return nn.Identity()
    if lift == "random":
        return random_features(width, TIMES * width, 0)
    if lift == "klda":
        return fourier_features(width, TIMES * width)
    raise unknown("lift", lift, LIFTS)
