"""Drift: how the features of old inputs must have moved, told from the current inputs alone."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)


@dataclass(frozen=True)
class DriftMap:
    """x -> x + (x - centre) B + shift: from past features to present ones.

    Attributes:
        linear: (f, f) B.
        centre: (f,) mean past feature of the inputs it was fitted on.
        shift: (f,) their mean movement.
        residual: share of the movement's square that a held-out fifth of the inputs leaves
            unexplained; it bounds what can be believed. None if nothing moved.
    """

    linear: Float[Tensor, "f f"]
    centre: Float[Tensor, " f"]
    shift: Float[Tensor, " f"]
    residual: float | None

    def __call__(self, x: Float[Tensor, "n f"]) -> Float[Tensor, "n f"]:
        """Move points, for example class means."""
        return x + (x - self.centre) @ self.linear + self.shift

    def covariance(self, scatter: Float[Tensor, "f f"]) -> Float[Tensor, "f f"]:
        """Move a scatter or covariance: A^T S A with A = I + B."""
        a = torch.eye(len(scatter), dtype=scatter.dtype, device=scatter.device) + self.linear
        return a.T @ scatter @ a


def fit_drift(past: Float[Tensor, "n f"], now: Float[Tensor, "n f"]) -> DriftMap:
    """Ridge regression of the movement on the past features, in closed form, of the same inputs.

    The penalty pulls towards no linear movement, so a network that did not move maps by the
    identity. Its strength, relative to the features' mean variance, is the one of `STRENGTHS` that
    best predicts every fifth input from the others.

    Source: the linear drift compensation family (LDC, DPCR); THEORY 9.
    """
    moved = now - past
    held = torch.arange(len(past), device=past.device) % 5 == 4
    if not bool(held.any()):
        held = ~held  # too few inputs to hold any out
    fits = {
        s: _ridge(past[~held], moved[~held], s) if bool((~held).any()) else None for s in STRENGTHS
    }
    total = float((moved[held] ** 2).sum())
    left = {
        s: float(((moved[held] - _apply(fit, past[held])) ** 2).sum()) if fit else float("inf")
        for s, fit in fits.items()
    }
    best = min(left, key=lambda s: (left[s], -s))
    linear, centre, shift = _ridge(past, moved, best)
    return DriftMap(linear, centre, shift, left[best] / total if total else None)


def _ridge(x: Tensor, moved: Tensor, strength: float) -> tuple[Tensor, Tensor, Tensor]:
    centre, shift = x.mean(0), moved.mean(0)
    x, moved = x - centre, moved - shift
    gram = x.T @ x
    scale = gram.diagonal().mean().clamp_min(1e-12)
    ridge = strength * scale * torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    return torch.linalg.solve(gram + ridge, x.T @ moved), centre, shift


def _apply(fit: tuple[Tensor, Tensor, Tensor], x: Tensor) -> Tensor:
    linear, centre, shift = fit
    return (x - centre) @ linear + shift
