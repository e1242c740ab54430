"""Drift: how the features of old inputs must have moved, told from the current inputs alone.

A map is fitted on the current task's inputs, as the past and the present network see them. None of
these maps seeks old-looking inputs by attacking the current ones (adversarial drift compensation).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from holdfast.errors import unknown

DriftName = Literal["none", "ridge", "translation", "low_rank", "learned"]
# what a map is chosen from, the most cautious first
STRENGTHS = (10.0, 1.0, 1e-1, 1e-2, 1e-3, 1e-4)
RANKS = (0, 1, 2, 4, 8, 16, 32)
WIDTHS = (1.6, 0.8, 0.4, 0.2, 0.1)
STEPS = (10, 30, 100, 300, 1000)


@dataclass(frozen=True)
class DriftMap:
    """x -> x + (x - centre) B + shift.

    Attributes:
        linear: (f, f) B.
        centre: (f,) mean past feature of the inputs it was fitted on.
        shift: (f,) their mean movement.
        residual: share of the movement's square that a held-out fifth of the inputs leaves
            unexplained, which bounds what can be believed; None if nothing moved, or with fewer than
            five inputs.
    """

    linear: Float[Tensor, "f f"]
    centre: Float[Tensor, " f"]
    shift: Float[Tensor, " f"]
    residual: float | None = None

    @property
    def matrix(self) -> Float[Tensor, "f f"]:
        """I + B, by which deviations from a mean move: r -> r (I + B)."""
        return torch.eye(len(self.linear)).to(self.linear) + self.linear

    def __call__(self, x: Float[Tensor, "n f"]) -> Float[Tensor, "n f"]:
        """Move points."""
        return x + (x - self.centre) @ self.linear + self.shift


@dataclass(frozen=True)
class Translation:
    """x -> x + sum_i w_i(x) moved_i: each point by the mean movement of the inputs around it.

    w_i ~ exp(-||x - past_i||^2 / (2 width^2)), summing to 1. Deviations from a mean do not move.

    Attributes:
        past: (n, f) past features.
        movement: (n, f) of each.
        width: in units of the features.
        residual: as of `DriftMap`.
        matrix: None: deviations stay.

    Source: Yu et al., *Semantic drift compensation*, CVPR 2020
    """

    past: Float[Tensor, "n f"]
    movement: Float[Tensor, "n f"]
    width: float
    residual: float | None = None
    matrix: None = None

    def __call__(self, x: Float[Tensor, "m f"]) -> Float[Tensor, "m f"]:
        """Move points."""
        distance = torch.cdist(x, self.past) ** 2
        return x + torch.softmax(-distance / (2 * self.width**2), 1) @ self.movement


Drift = DriftMap | Translation


def fit_drift(past: Float[Tensor, "n f"], now: Float[Tensor, "n f"], by: str = "ridge") -> Drift:
    """The map from past to present features of the same inputs.

    Its strength, rank, width or number of steps is the one with which the other inputs best predict
    every fifth; the map is then fitted to all of them. A network that did not move gives the identity.

    Args:
        past: features by the network before the task.
        now: features by the network after it.
        by: ``ridge``: a linear map in closed form, pulled towards no linear movement; ``low_rank``:
            the same with B of low rank; ``learned``: a linear map by gradient descent from no
            linear movement, stopped early; ``translation``: a mean moves with the inputs around it.

    Raises:
        ConfigError: for an unknown name.

    Source: linear drift compensation (LDC, DPCR), semantic drift compensation (SDC); THEORY 9.
    """
    if by not in FITS:
        raise unknown("drift", by, [*FITS, "none"])
    fit, settings = FITS[by]
    moved = now - past
    held = torch.arange(len(past), device=past.device) % 5 == 4
    total = float((moved[held] ** 2).sum())
    if not total:
        return fit(past, moved, settings[0])
    left = [_left(fit(past[~held], moved[~held], s), past[held], now[held]) for s in settings]
    best = min(range(len(settings)), key=left.__getitem__)
    return replace(fit(past, moved, settings[best]), residual=left[best] / total)


def _left(drift: Drift, past: Tensor, now: Tensor) -> float:
    return float(((now - drift(past)) ** 2).sum())


def _centred(x: Tensor, moved: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Mean and mean movement, the Gram matrix about them, and the products with the movement."""
    centre, shift = x.mean(0), moved.mean(0)
    x = x - centre
    return centre, shift, x.T @ x, x.T @ (moved - shift)


def _ridge(x: Tensor, moved: Tensor, strength: float) -> DriftMap:
    """The penalty is relative to the features' mean variance."""
    centre, shift, gram, products = _centred(x, moved)
    scale = gram.diagonal().mean().clamp_min(1e-12)
    ridge = strength * scale * torch.eye(len(gram)).to(gram)
    return DriftMap(torch.linalg.solve(gram + ridge, products), centre, shift)


def _low_rank(x: Tensor, moved: Tensor, setting: tuple[int, float]) -> DriftMap:
    """The ridge map, cut to the directions in which it moves these inputs most."""
    rank, strength = setting
    drift = _ridge(x, moved, strength)
    _, _, gram, _ = _centred(x, moved)
    _, v = torch.linalg.eigh(drift.linear.T @ gram @ drift.linear)  # in ascending order
    v = v[:, max(0, len(gram) - rank) :]
    return replace(drift, linear=drift.linear @ v @ v.T)


def _learned(x: Tensor, moved: Tensor, steps: int) -> DriftMap:
    """Nesterov's gradient descent on the mean square, the step set by the largest curvature."""
    centre, shift, gram, products = _centred(x, moved)
    rate = 1 / torch.linalg.matrix_norm(gram, 2).clamp_min(1e-12)
    b = ahead = torch.zeros_like(gram)
    for step in range(steps):
        after = ahead - rate * (gram @ ahead - products)
        ahead, b = after + step / (step + 3) * (after - b), after
    return DriftMap(b, centre, shift)


def _translation(x: Tensor, moved: Tensor, width: float) -> Translation:
    """The width is relative to the inputs' root mean square distance from their mean."""
    spread = float(((x - x.mean(0)) ** 2).sum(1).mean().sqrt())
    return Translation(x, moved, width * max(spread, 1e-6))


FITS = {
    "ridge": (_ridge, STRENGTHS),
    "low_rank": (_low_rank, tuple(product(RANKS, STRENGTHS))),
    "learned": (_learned, STEPS),
    "translation": (_translation, WIDTHS),
}
