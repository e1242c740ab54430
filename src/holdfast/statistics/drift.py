"""Drift: how the features of old inputs must have moved, inferred from the current inputs alone.

A map is fitted on the current task's inputs, as the past and the present network see them. None of
these maps seeks old-looking inputs by attacking the current ones (adversarial drift compensation).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from holdfast.core.errors import unknown

DriftName = Literal["none", "ridge", "translation", "low_rank", "learned"]
FEWEST = 10  # inputs; with fewer, how old inputs moved is not guessed
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
            unexplained, which bounds what can be believed; None if nothing moved, or with fewer
            than `FEWEST` inputs.
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
    every fifth; the map is then fitted to all of them. A network that did not move gives the
    identity, and so do fewer than `FEWEST` inputs: the movement of a few new inputs, on which the
    network was just trained, is no evidence of how others moved.

    Args:
        past: features by the network before the task.
        now: features by the network after it.
        by: ``ridge``: a linear map in closed form, pulled towards no linear movement; ``low_rank``:
            the same with B of low rank; ``learned``: a linear map by gradient descent from no
            linear movement, stopped early; ``translation``: a mean moves with the inputs around it.

    Raises:
        ConfigError: for an unknown name.

    Source: linear drift compensation (LDC, DPCR), semantic drift compensation (SDC);
        docs/theory.md, section 9
    """
    if by not in FITS:
        raise unknown("drift", by, [*FITS, "none"])
    make, settings = FITS[by]
    moved = now - past
    if len(past) < FEWEST:
        return make(past, torch.zeros_like(moved))(settings[0])
    test = torch.arange(len(past), device=past.device) % 5 == 4
    total = float((moved[test] ** 2).sum())
    if not total:
        return make(past, moved)(settings[0])
    fit = make(past[~test], moved[~test])
    left = [float(((now[test] - fit(s)(past[test])) ** 2).sum()) for s in settings]
    best = min(range(len(settings)), key=left.__getitem__)
    return replace(make(past, moved)(settings[best]), residual=left[best] / total)


def check_drift(name: str) -> None:
    """Refuse a name that is no drift map and not ``none`` (ConfigError)."""
    if name not in (*FITS, "none"):
        raise unknown("drift", name, [*FITS, "none"])


class Spectrum:
    """Inputs and their movement, centred, in the eigenbasis of their Gram matrix G = V diag(l) V^T.

    Every linear map here is B = V diag(filter(l)) V^T C, with C the products of inputs and movement:
    1 / l is least squares, and what holds a map back is a filter below it.
    """

    def __init__(self, x: Float[Tensor, "n f"], moved: Float[Tensor, "n f"]):
        self.centre, self.shift = x.mean(0), moved.mean(0)
        x = x - self.centre
        self.values, self.vectors = torch.linalg.eigh(x.T @ x)
        self.values = self.values.clamp_min(0)
        self.products = self.vectors.T @ (x.T @ (moved - self.shift))

    def map(self, kept: Float[Tensor, " f"]) -> DriftMap:
        """The map of a filter."""
        return DriftMap(self.vectors @ (kept[:, None] * self.products), self.centre, self.shift)


def _ridge(x: Tensor, moved: Tensor) -> Callable[[float], DriftMap]:
    """1 / (l + strength mean l)."""
    basis = Spectrum(x, moved)
    scale = basis.values.mean().clamp_min(1e-12)
    return lambda strength: basis.map(1 / (basis.values + strength * scale))


def _low_rank(x: Tensor, moved: Tensor) -> Callable[[tuple[int, float]], DriftMap]:
    """The ridge map, cut to the directions in which it moves these inputs most."""
    ridge, deviation = _ridge(x, moved), x - x.mean(0)
    gram = deviation.T @ deviation

    @cache
    def directions(strength: float) -> tuple[DriftMap, Tensor]:
        drift = ridge(strength)
        return drift, torch.linalg.eigh(drift.linear.T @ gram @ drift.linear)[1].flip(1)

    def cut(setting: tuple[int, float]) -> DriftMap:
        drift, v = directions(setting[1])
        v = v[:, : setting[0]]
        return replace(drift, linear=drift.linear @ v @ v.T)

    return cut


def _learned(x: Tensor, moved: Tensor) -> Callable[[int], DriftMap]:
    """Nesterov's gradient descent on the square from B = 0, at the rate 1 / max l.

    In the eigenbasis it is a recursion of one number a direction.
    """
    basis = Spectrum(x, moved)
    rate = 1 / basis.values.max().clamp_min(1e-12)

    def stopped(steps: int) -> DriftMap:
        b = ahead = torch.zeros_like(basis.values)
        for step in range(steps):
            after = ahead - rate * (basis.values * ahead - 1)
            ahead, b = after + step / (step + 3) * (after - b), after
        return basis.map(b)

    return stopped


def _translation(x: Tensor, moved: Tensor) -> Callable[[float], Translation]:
    """The width is relative to the inputs' root mean square distance from their mean."""
    spread = max(float(((x - x.mean(0)) ** 2).sum(1).mean().sqrt()), 1e-6)
    return lambda width: Translation(x, moved, width * spread)


FITS: dict[str, tuple[Callable[[Tensor, Tensor], Callable[..., Drift]], tuple[Any, ...]]] = {
    "ridge": (_ridge, STRENGTHS),
    "low_rank": (_low_rank, tuple(product(RANKS, STRENGTHS))),
    "learned": (_learned, STEPS),
    "translation": (_translation, WIDTHS),
}
