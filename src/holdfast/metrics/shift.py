"""How far the features of two domains lie apart, and how widely a domain's classes spread."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from holdfast.core.numerics import in_float64
from holdfast.metrics.class_means import ClassMeans, differ
from holdfast.metrics.missing import Missing
from holdfast.statistics.softmax import fit_softmax

FOLDS = 2
LEAST = 4  # rows of a side


def class_spread(x: Float[Tensor, "n f"], y: Int[Tensor, " n"]) -> float:
    """tr(S_W) / tr(S_T): 0 where every class is a point, 1 where class means are one.

    Args:
        x: (N, f) features of one domain.
        y: (N,) classes.

    Returns:
        a number in [0, 1]; `Missing` for one class, a class of one row, or equal rows.

    Source: the within-domain half of the shifts of Chen et al. (S133); [U] not verified against the source
    """
    some = ClassMeans.of(x, y)
    if some.lacks:
        return Missing(some.lacks)
    if not differ(some.x):
        return Missing("all rows are equal")
    within = (some.counts * some.spreads).sum()
    return float(within / (some.x - some.x.mean(0)).square().sum())


def domain_divergence(
    a: Float[Tensor, "n f"], b: Float[Tensor, "m f"], decay: float = 1e-3, seed: int = 0
) -> float:
    """max(0, log 2 - CE) / log 2, CE of telling two domains apart on held-out rows: 0 alike, 1 apart.

    A balanced logistic regression is fitted on one half of the rows of each side and asked about the
    other, and the other way round. It bounds the Jensen-Shannon divergence / log 2 from below, up to
    chance, and reaches it where the log of the ratio of the densities is linear. The name IDD, under
    which the source has it, stands for several things and is not used.

    Args:
        a: (N, f) features of one domain.
        b: (M, f) features of the other.
        decay: of the regression's weights, in units of the features' deviations.
        seed: of the halves.

    Returns:
        a number in [0, 1]; `Missing` for fewer than 4 rows on a side.

    Source: after Chen et al. (S133); [U] not verified against the source
    """
    if min(len(a), len(b)) < LEAST:
        return Missing(f"a side has fewer than {LEAST} rows")
    x = in_float64(torch.cat([a, b.to(a)]))
    side = torch.cat([torch.zeros(len(a)), torch.ones(len(b))]).long().to(x.device)
    generator = torch.Generator().manual_seed(seed)
    fold = torch.cat([torch.randperm(len(rows), generator=generator) % FOLDS for rows in (a, b)])
    fold = fold.to(x.device)
    losses = [_held_out(x, side, fold == k, decay) for k in range(FOLDS)]
    return max(0.0, 1 - sum(losses) / FOLDS / math.log(2))


def domain_odds(
    a: Float[Tensor, "n f"], b: Float[Tensor, "m f"], decay: float = 1e-2
) -> Float[Tensor, " n"]:
    """(N,) p_b(x) / p_a(x) at the rows of a, by the odds of a balanced logistic regression on both.

    Args:
        a: (N, f) features at which the weights are wanted.
        b: (M, f) features of the other domain.
        decay: of the regression's weights, in units of the features' deviations.

    Returns:
        (N,) float64 weights of importance.
    """
    x = in_float64(torch.cat([a, b.to(a)]))
    side = torch.cat([torch.zeros(len(a)), torch.ones(len(b))]).long().to(x.device)
    z = _standard(x, x)
    weight, bias = fit_softmax(z, side, 2, decay)
    scores = z[: len(a)] @ weight.T + bias
    return (scores[:, 1] - scores[:, 0]).exp()


def _held_out(x: Tensor, side: Tensor, out: Tensor, decay: float) -> float:
    """Balanced cross-entropy of the rows that are held out, by a regression on the others."""
    z = _standard(x, x[~out])
    weight, bias = fit_softmax(z[~out], side[~out], 2, decay)
    log_p = (z[out] @ weight.T + bias).log_softmax(1)
    loss = -log_p.gather(1, side[out][:, None])[:, 0]
    return float(sum(loss[side[out] == s].mean() for s in (0, 1)) / 2)


def _standard(x: Tensor, by: Tensor) -> Tensor:
    """In units of the deviations of some rows; what is constant among them is left out of it."""
    deviation = by.std(0, correction=0)
    return (x - by.mean(0)) / torch.where(deviation > 0, deviation, torch.ones_like(deviation))
