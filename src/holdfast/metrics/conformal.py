"""Conformal sets: as many classes as it takes to hold the true one with a stated probability.

The promise is for rows that are exchangeable with the calibration rows. In continual learning those
come from the newest task: old classes have none, and a threshold from rows that were drawn from
statistics is nominal: its coverage is the model's, not the data's.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def conformal_threshold(scores: Float[Tensor, " n"], alpha: float) -> float:
    """The ceil((n + 1)(1 - alpha))-th smallest score; infinite if that is more than n.

    With s_i = 1 - p_{y_i}(x_i), sets of all classes with 1 - p_k <= q hold the true class with
    a probability in [1 - alpha, 1 - alpha + 1 / (n + 1)] if the rows are exchangeable. Fewer than
    1 / alpha - 1 rows promise nothing: the threshold is infinite and sets hold every class.

    Source: Vovk, Gammerman, Shafer, *Algorithmic learning in a random world*, 2005

    Args:
        scores: (n,) of calibration rows that were not learned.
        alpha: share of rows that may be missed; 0 and below give inf, 1 and above -inf.

    >>> conformal_threshold(torch.arange(1.0, 100.0), 0.1)  # of 99
    90.0
    """
    rank = math.ceil(round((len(scores) + 1) * (1 - alpha), 9))
    if rank < 1:
        return -math.inf
    return float(scores.sort().values[rank - 1]) if rank <= len(scores) else math.inf


def class_thresholds(
    scores: Float[Tensor, " n"], y: Int[Tensor, " n"], classes: int, alpha: float
) -> Float[Tensor, " k"]:
    """`conformal_threshold` of each class from its own rows: coverage in every class, not on average.

    Args:
        scores: (n,) of calibration rows.
        y: (n,) their classes.
        classes: how many there are; one with fewer than 1 / alpha - 1 rows gets inf.
        alpha: share of rows of a class that may be missed.
    """
    return torch.tensor(
        [conformal_threshold(scores[y == k], alpha) for k in range(classes)], dtype=torch.float64
    )


def conformal_sets(
    p: Float[Tensor, "n k"], threshold: float | Float[Tensor, " k"]
) -> Bool[Tensor, "n k"]:
    """The classes with 1 - p_k <= q, as a row of yes and no for each input.

    Args:
        p: (N, K) probabilities.
        threshold: q, one for all classes or one each.
    """
    return 1 - p.double() <= threshold


def coverage(sets: Bool[Tensor, "n k"], y: Int[Tensor, " n"]) -> float:
    """Share of rows whose set holds the true class; NaN for none.

    >>> coverage(torch.tensor([[True, False], [True, True]]), torch.tensor([1, 1]))
    0.5
    """
    return float(sets.gather(1, y[:, None]).double().mean())


def mean_size(sets: Bool[Tensor, "n k"]) -> float:
    """Classes in a set, on average; NaN for no row.

    >>> mean_size(torch.tensor([[True, False], [True, True]]))
    1.5
    """
    return float(sets.sum(1).double().mean())


def next_alpha(alpha: float, missed: bool, target: float = 0.1, rate: float = 0.05) -> float:
    """How much may be missed next, alpha + g (target - missed), once the true class of a row is known.

    Whatever the rows are like, |mean missed - target| <= (max(a_1, 1 - a_1) + g) / (g T) after T of
    them: below 0 every class is in the set, so that nothing can be missed.

    Source: Gibbs, Candes, *Adaptive conformal inference under distribution shift*, NeurIPS 2021

    Args:
        alpha: what was used for the row.
        missed: whether its set lacked the true class.
        target: share that may be missed in the long run.
        rate: g.
    """
    return alpha + rate * (target - missed)
