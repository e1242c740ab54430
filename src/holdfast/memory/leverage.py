"""Leverage: rows by how much the Gram matrix of their class would miss them, with or without weights."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from holdfast.core.numerics import in_float64

ROUNDS = 60  # of the bisection for the ridge
NOTHING = 1e-12  # share of the largest squared singular value below which one is rounding


def leverage_scores(features: Float[Tensor, "n f"], level: float = 0.0) -> Float[Tensor, " n"]:
    """(N,) tau_i = a_i (A^T A + level I)^-1 a_i^T, in float64; they sum to the effective dimension.

    At level 0 that is the rank, and the inverse is the pseudo-inverse.

    Args:
        features: A.
        level: of the ridge.

    Source: Woodruff and Yasuda, arXiv 2306.00732 (definitions; their exponents are not verified)

    >>> leverage_scores(torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])).round(decimals=6).tolist()
    [1.0, 0.5, 0.5]
    """
    u, square = _spectrum(features)
    return u.square() @ (square / (square + level))


def ridge_level(features: Float[Tensor, "n f"], dimension: float) -> float:
    """The level at which leverage scores sum to a dimension; 0 where the rank is no larger.

    Args:
        features: A.
        dimension: above 0.
    """
    square = _spectrum(features)[1]
    if len(square) <= dimension:
        return 0.0
    low, high = 0.0, float(square.sum()) / dimension  # sum s/(s + l) < sum s / l
    for _ in range(ROUNDS):
        middle = (low + high) / 2
        above = float((square / (square + middle)).sum()) > dimension
        low, high = (middle, high) if above else (low, middle)
    return high


def leverage_shares(
    features: Float[Tensor, "n f"], keep: int, root: bool = False
) -> Float[Tensor, " n"]:
    """(N,) p_i of rows, which sum to 1: their leverage, or its root, at the `ridge_level` of ``keep``.

    Args:
        features: of one class.
        keep: rows that are to stand for them.
        root: p_i ~ sqrt(tau_i), for losses that grow like |x| and not like x^2.
    """
    tau = leverage_scores(features, ridge_level(features, max(keep, 1)))
    tau = tau.clamp_min(NOTHING)  # a row of zeros may be drawn, if seldom
    tau = tau.sqrt() if root else tau
    return tau / tau.sum()


class Drawn(NamedTuple):
    """Rows that were drawn.

    Attributes:
        place: (M,) of them, the best first.
        weight: (M,) for how many rows each one stands: any sum over rows has its expectation.
        priority: (M,) by which they are in this order; nan where there is none.
    """

    place: Int[Tensor, " m"]
    weight: Float[Tensor, " m"]
    priority: Float[Tensor, " m"]


def with_replacement(shares: Float[Tensor, " n"], keep: int, generator: torch.Generator) -> Drawn:
    """``keep`` independent draws with weights 1 / (keep p_i): E sum_i w_i a_i^T a_i = A^T A.

    Args:
        shares: p, above 0.
        keep: draws; a row may come more than once.
        generator: all of chance.
    """
    p = shares.to(generator.device)
    index = torch.multinomial(p, keep, replacement=True, generator=generator)
    weight = 1 / (keep * p[index])
    return Drawn(
        index.to(shares.device),
        weight.to(shares),
        torch.full_like(shares[:1], torch.nan).expand(keep),
    )


def by_priority(shares: Float[Tensor, " n"], keep: int, generator: torch.Generator) -> Drawn:
    """``keep`` different rows, those with the largest p_i / u_i, u_i uniform: any prefix is such a draw.

    With t the largest priority that is left out, w_i = max(1, t / p_i), and every sum over rows has its
    expectation, for which no row need come twice. All rows, at weight 1, where keep is no smaller.

    Args:
        shares: p, above 0.
        keep: rows at most.
        generator: all of chance.

    Source: Duffield, Lund, Thorup, *Priority sampling for estimation of arbitrary subset sums*, 2007 (from
        memory; its expectation is tested here)
    """
    u = torch.rand(len(shares), generator=generator, device=generator.device).to(shares)
    priority, order = (shares / u.clamp_min(1e-12)).sort(descending=True, stable=True)
    kept = priority[:keep]
    return Drawn(order[:keep], priority_weights(shares[order[:keep]], priority[keep:]), kept)


def priority_weights(
    shares: Float[Tensor, " m"], left_out: Float[Tensor, " r"]
) -> Float[Tensor, " m"]:
    """max(1, t / p_i), t the largest of the priorities left out; 1 where there is none."""
    return (left_out[0] / shares).clamp_min(1) if len(left_out) else torch.ones_like(shares)


def by_leverage(
    features: Float[Tensor, "n f"], keep: int, generator: torch.Generator, root: bool = False
) -> Int[Tensor, " m"]:
    """``keep`` different rows by `leverage_shares`, best first, for uses that know no weights.

    Without weights their Gram matrix leans to rows that stand out.

    Args:
        features: of one class.
        keep: rows at most.
        generator: all of chance.
        root: as of `leverage_shares`.
    """
    return by_priority(leverage_shares(features, keep, root), keep, generator).place


def _spectrum(features: Tensor) -> tuple[Tensor, Tensor]:
    """Left singular vectors, and the squares of the values that are no rounding."""
    u, s, _ = torch.linalg.svd(in_float64(features), full_matrices=False)
    real = s**2 > NOTHING * (s**2).max() if len(s) else s > 0
    return u[:, real], s[real] ** 2
