"""Gaussian optimal transport: the straightest map between two clouds, which needs no pairs."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from holdfast.statistics.maps import DriftMap


def gaussian_transport(
    before: Float[Tensor, "f f"], after: Float[Tensor, "f f"]
) -> Float[Tensor, "f f"]:
    """(f, f) A = R^-1 (R S R)^(1/2) R^-1 with R = S*^(1/2): symmetric, positive, A S* A = S.

    Of all maps from N(0, S*) to N(0, S) it moves the rows least: E ||x A - x||^2 is the smallest.

    Args:
        before: (f, f) S*, a covariance of full rank.
        after: (f, f) S.

    Source: Dowson, Landau, 1982; docs/theory.md, section 9

    >>> gaussian_transport(torch.tensor([[4.0]]), torch.tensor([[9.0]]))
    tensor([[1.5000]])
    """
    values, vectors = torch.linalg.eigh(before)
    size = values.clamp_min(torch.finfo(values.dtype).tiny).sqrt()
    root, back = (vectors * size) @ vectors.T, (vectors / size) @ vectors.T
    values, vectors = torch.linalg.eigh(root @ after @ root)
    middle = (vectors * values.clamp_min(0).sqrt()) @ vectors.T
    return back @ middle @ back


def transport(x: Float[Tensor, "n f"], moved: Float[Tensor, "n f"]) -> Callable[[float], DriftMap]:
    """From mean and covariance of the inputs before to those after, both with strength times mean l I.

    A map that is the gradient of a convex function stretches and never turns: a drift with rotation is
    out of its reach. Which row went where is not looked at, so it serves where inputs differ.
    The two covariances get the same multiple of I, so a large strength is no linear movement; equal ones
    give the identity to the bit.

    Args:
        x: features before.
        moved: their movement.

    Source: the closed form of the Monge gap's map (Uscidda, Cuturi, ICML 2023) for linear maps, [V]
    """
    now = x + moved
    centre, shift = x.mean(0), moved.mean(0)
    away, there = x - centre, now - now.mean(0)
    before, after = (rows.T @ rows / len(x) for rows in (away, there))
    identity = torch.eye(x.shape[1]).to(x)
    scale = before.diagonal().mean().clamp_min(1e-12)

    def mapped(strength: float) -> DriftMap:
        more = strength * scale * identity
        linear = torch.zeros_like(identity)
        if not torch.equal(before, after):
            linear = gaussian_transport(before + more, after + more) - identity
        return DriftMap(linear, centre, shift)

    return mapped
