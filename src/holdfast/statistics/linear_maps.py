"""Linear drift maps: one spectrum of the inputs, and the filters that hold a map back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor

from holdfast.statistics.maps import DriftMap, Translation


class Spectrum:
    """Inputs and their movement, centred, in the eigenbasis of their Gram matrix G = V diag(l) V^T.

    Every linear map here is B = V (filter * V^T C W) W^T, with C the products of inputs and movement and
    W = I but for `sylvester`: 1 / l is least squares, and what holds a map back is a filter below it.
    Of fewer inputs than features, V are the directions in which they vary, from the products of inputs:
    l is 0 in all others, and so is B.
    """

    def __init__(self, x: Float[Tensor, "n f"], moved: Float[Tensor, "n f"]):
        self.centre, self.shift = x.mean(0), moved.mean(0)
        self.x, self.moved = x - self.centre, moved - self.shift
        if len(x) < x.shape[1]:
            self.values, self.vectors, self.products = self._of_inputs()
        else:
            self.values, self.vectors = torch.linalg.eigh(self.x.T @ self.x)
            self.values = self.values.clamp_min(0)
            self.products = self.vectors.T @ (self.x.T @ self.moved)

    def _of_inputs(self) -> tuple[Tensor, Tensor, Tensor]:
        """X X^T = U diag(l) U^T, V = X^T U diag(l)^-1/2, V^T C = diag(l)^1/2 U^T moved."""
        values, u = torch.linalg.eigh(self.x @ self.x.T)
        kept = values >= len(values) * torch.finfo(values.dtype).eps * values[-1].clamp_min(0)
        values, u = values[kept], u[:, kept]
        roots = values.clamp_min(torch.finfo(values.dtype).tiny).sqrt()
        return values.clamp_min(0), self.x.T @ (u / roots), roots[:, None] * (u.T @ self.moved)

    @property
    def scale(self) -> Tensor:
        """The mean of all f values of l, by which strengths are relative."""
        return (self.values.sum() / self.x.shape[1]).clamp_min(1e-12)

    def map(self, kept: Float[Tensor, " r"]) -> DriftMap:
        """The map of a filter."""
        return DriftMap(self.vectors @ (kept[:, None] * self.products), self.centre, self.shift)


def ridge(x: Tensor, moved: Tensor) -> Callable[[float], DriftMap]:
    """1 / (l + strength mean l)."""
    basis = Spectrum(x, moved)
    return lambda strength: basis.map(1 / (basis.values + strength * basis.scale))


def sylvester(x: Tensor, moved: Tensor) -> Callable[[float], DriftMap]:
    """1 / (l_i + strength mean l q_j / mean q), W and q the spectrum of the new features' covariance.

    It minimises tr((X B - D) S^-1 (X B - D)^T) + strength ||B||^2, errors counted in units of the new
    features' spread S: the normal equations are Sylvester's, G B + strength B S = X^T D. With S a
    multiple of I it is the ridge.

    Source: docs/theory.md, section 9; the metric that GATF names and its code cancels
    """
    basis = Spectrum(x, moved)
    new = basis.x + basis.moved
    spread, directions = torch.linalg.eigh(new.T @ new)
    spread = spread.clamp_min(0)
    spread = spread / spread.mean().clamp_min(1e-12)
    products = basis.products @ directions

    def mapped(strength: float) -> DriftMap:
        back = (strength * basis.scale * spread).clamp_min(1e-9 * basis.scale)
        b = basis.vectors @ (products / (basis.values[:, None] + back)) @ directions.T
        return DriftMap(b, basis.centre, basis.shift)

    return mapped


def low_rank(x: Tensor, moved: Tensor) -> Callable[[tuple[int, float]], DriftMap]:
    """The ridge map, cut to the directions in which it moves these inputs most."""
    by, deviation = ridge(x, moved), x - x.mean(0)
    gram = deviation.T @ deviation

    @cache
    def directions(strength: float) -> tuple[DriftMap, Tensor]:
        drift = by(strength)
        return drift, torch.linalg.eigh(drift.linear.T @ gram @ drift.linear)[1].flip(1)

    def cut(setting: tuple[int, float]) -> DriftMap:
        drift, v = directions(setting[1])
        v = v[:, : setting[0]]
        return replace(drift, linear=drift.linear @ v @ v.T)

    return cut


def learned(x: Tensor, moved: Tensor) -> Callable[[int], DriftMap]:
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


def translation(x: Tensor, moved: Tensor) -> Callable[[float], Translation]:
    """The width is relative to the inputs' root mean square distance from their mean."""
    spread = max(float(((x - x.mean(0)) ** 2).sum(1).mean().sqrt()), 1e-6)
    return lambda width: Translation(x, moved, width * spread)
