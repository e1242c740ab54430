"""Whether probabilities can be believed: temperature, calibration errors, and proper scores."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

BOUND = math.log(1e4)  # of |log 1/T|
CLOSE = 1e-4  # a step of Newton's method whose square does not matter
MANY = 2**20  # scores that are taken in float32
FIRST = 2000  # rows that show where to begin
IN_CACHE = 2**16  # scores at a time


def fit_temperature(scores: Float[Tensor, "n k"], y: Int[Tensor, " n"]) -> float:
    """The T > 0 that minimises the mean over classes of the mean -log softmax(s / T)_y.

    The loss is convex in 1/T; its slope is brought to zero between T = 1e-4 and 1e4 by Newton's
    method in log 1/T, first on some of the rows. Many scores are taken in float32. Scores that do
    not depend on the class, or have one class, give 1; where no T is best (the largest score is
    always right, or never), it is a bound.

    Source: Guo et al., *On calibration of modern neural networks*, ICML 2017

    Args:
        scores: (N, K), -inf for a class that cannot be.
        y: (N,) labels.

    >>> scores, y = [[2.0, 0.0]] * 4 + [[0.0, 2.0]] * 4, [0, 0, 0, 1, 1, 1, 1, 0]
    >>> round(fit_temperature(torch.tensor(scores), torch.tensor(y)), 4)  # 2 / log 3: right in 3 of 4
    1.8205
    """
    many = scores.numel() > MANY
    exact = scores.dtype is torch.float64 or not many
    scores = scores.double() if exact else scores.float()
    scores = scores - scores.amax(1, keepdim=True)
    if scores.shape[1] < 2 or not bool(((scores < 0) & scores.isfinite()).any()):
        return 1.0
    scores = scores.float() if many else scores
    count = torch.bincount(y, minlength=scores.shape[1])
    share = 1 / (count[y] * (count > 0).sum()).double()
    right = scores.gather(1, y[:, None])[:, 0].double()
    start, step = 0.0, max(len(y) // FIRST, 1)
    for every in (step, 1) if step > 1 else (1,):
        some = (scores[::every], share[::every], right[::every])
        start = _root(lambda at, some=some: _slope(*some, at), start)
    return math.exp(-start)


def _slope(scores: Tensor, share: Tensor, right: Tensor, at: float) -> tuple[float, float]:
    """The loss's slope in log 1/T = ``at``, and Newton's step from there.

    With z = s / T these are the mean of E_p[z] - z_y, and that over the mean of Var_p[z]: the slope
    in 1/T is what is brought to zero. Exponents end at -80: what lies below adds nothing, and no
    number becomes denormal.
    """
    scale, slope, curve = math.exp(at), 0.0, 0.0
    rows = max(IN_CACHE // scores.shape[1], 1)
    for s, weight, s_y in zip(scores.split(rows), share.split(rows), right.split(rows)):
        z = (s * scale).clamp_min_(-80.0)
        p = z.exp()
        total = p.sum(1)
        mean = p.mul_(z).sum(1) / total
        square = p.mul_(z).sum(1) / total
        slope += float(weight @ (mean.double() - scale * s_y))
        curve += float(weight @ (square - mean * mean).double())
    return slope, -slope / curve if curve > 0 else math.nan


def _root(slope: Callable[[float], tuple[float, float]], at: float) -> float:
    """Where an increasing function is 0: by Newton's steps, or by halves where these leave the bracket
    or do not shrink; a bound if it is 0 beyond.
    """
    low, high, last = -BOUND, BOUND, math.inf
    while high - low > CLOSE**2:
        value, step = slope(at)
        low, high = (at, high) if value < 0 else (low, at)
        if abs(step) < CLOSE:
            return min(max(at + step, low), high)
        if low < at + step < high and abs(step) < last / 2:
            at, last = at + step, abs(step)
            continue
        end = BOUND if value < 0 else -BOUND
        looked = end not in (low, high)
        at, last = ((low + high) / 2, (high - low) / 2) if looked else (end, last)
    return (low + high) / 2


def expected_calibration_error(
    p: Float[Tensor, "n k"], y: Int[Tensor, " n"], bins: int = 15
) -> float:
    """sum_b n_b / N |accuracy_b - confidence_b| over bins of equal width of the largest probability.

    NaN if any probability is.

    Source: Naeini, Cooper, Hauskrecht, *Obtaining well calibrated probabilities*, AAAI 2015

    >>> expected_calibration_error(torch.tensor([[0.75, 0.25], [0.75, 0.25]]), torch.tensor([0, 1]))
    0.25
    """
    if not bool(p.isfinite().all()):
        return float("nan")
    confidence, label = p.double().max(1)
    right = (label == y).double()
    place = (confidence * bins).long().clamp_max(bins - 1)
    gap = torch.zeros(bins, dtype=torch.float64, device=p.device)
    gap.index_add_(0, place, right - confidence)
    return float(gap.abs().sum() / len(y))


def adaptive_ece(p: Float[Tensor, "n k"], y: Int[Tensor, " n"], bins: int = 15) -> float:
    """sum_b n_b / N |accuracy_b - confidence_b| over bins of equal mass of the largest probability.

    Rows are sorted by confidence and cut into bins of as many rows; equal confidences stay together.
    NaN if any probability is. docs/theory.md, section 11.

    Source: Nixon et al., *Measuring calibration in deep learning*, CVPR workshops 2019

    >>> adaptive_ece(torch.tensor([[0.75, 0.25], [0.75, 0.25]]), torch.tensor([0, 1]))
    0.25
    """
    if not bool(p.isfinite().all()):
        return float("nan")
    confidence, label = p.double().max(1)
    _, value, count = confidence.unique(return_inverse=True, return_counts=True)
    first = (count.cumsum(0) - count)[value]  # the rank of the first row that is as sure
    gap = torch.zeros(bins, dtype=torch.float64, device=p.device)
    gap.index_add_(0, first * bins // len(y), (label == y).double() - confidence)
    return float(gap.abs().sum() / len(y))


def brier(p: Float[Tensor, "n k"], y: Int[Tensor, " n"]) -> float:
    """mean_i ||p_i - e_{y_i}||^2, in [0, 2]: it is not divided by the number of classes.

    >>> brier(torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([0, 1]))
    1.0
    """
    p = p.double()
    right = p.gather(1, y[:, None])[:, 0]
    return float((p.square().sum(1) - 2 * right + 1).mean())


def nll(p: Float[Tensor, "n k"], y: Int[Tensor, " n"]) -> float:
    """mean_i -log p_{i, y_i}; infinite where a true class has probability 0.

    >>> round(nll(torch.tensor([[0.5, 0.5]]), torch.tensor([1])), 4)
    0.6931
    """
    return float(-p.double().gather(1, y[:, None]).log().mean())


def ece_floor(p: Float[Tensor, "n k"], draws: int = 100, seed: int = 0, bins: int = 15) -> float:
    """The mean expected calibration error of labels drawn from p itself: a calibrated model's.

    It is about sum_b sqrt(2 v_b n_b / pi) / N with v_b the mean of c (1 - c) in a bin, not 0: an
    error is to be compared with it.

    Args:
        p: (N, K) probabilities.
        draws: of labels for all rows.
        seed: of the draws.
        bins: as for `expected_calibration_error`.
    """
    generator = torch.Generator(p.device).manual_seed(seed)
    p = p.double()
    labels = torch.multinomial(p, draws, replacement=True, generator=generator)
    return sum(expected_calibration_error(p, y, bins) for y in labels.T) / draws


def calibration_figures(
    p: Float[Tensor, "n k"], y: Int[Tensor, " n"], new: Bool[Tensor, " n"], draws: int = 20
) -> dict[str, float]:
    """Every figure of how far probabilities can be believed, by name; some for old and new rows apart.

    One temperature cannot serve both. A probability of 0 counts as the least number of its type, so
    that no single row makes the NLL infinite. NaN if any probability is, or a side has no row.

    Args:
        p: (N, K) probabilities.
        y: (N,) labels.
        new: (N,) whether the class of a row is of the task that was learned last.
        draws: for the floor, see `ece_floor`.
    """
    known = bool(p.isfinite().all())
    kinds = {
        "nll": lambda p, y: nll(p.clamp_min(torch.finfo(p.dtype).tiny), y),
        "brier": brier,
        "calibration_error": expected_calibration_error,
    }
    whole = kinds | {
        "adaptive_calibration_error": adaptive_ece,
        "calibration_floor": lambda p, y: ece_floor(p, draws),
    }
    parts = [("", torch.ones_like(new), whole), ("_old", ~new, kinds), ("_new", new, kinds)]
    return {
        f"{name}{side}": figure(p[rows], y[rows]) if known and bool(rows.any()) else math.nan
        for side, rows, figures in parts
        for name, figure in figures.items()
    }
