"""Whether probabilities can be believed: temperature and expected calibration error."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor


def fit_temperature(scores: Float[Tensor, "n k"], y: Int[Tensor, " n"]) -> float:
    """The T > 0 that minimises the mean over classes of the mean -log softmax(s / T)_y.

    The loss is convex in 1/T; its slope is halved to zero between T = 1e-4 and 1e4. Scores that do
    not depend on the class, or have one class, give 1.

    Source: Guo et al., *On calibration of modern neural networks*, ICML 2017

    >>> said, y = [[2.0, 0.0]] * 4 + [[0.0, 2.0]] * 4, [0, 0, 0, 1, 1, 1, 1, 0]
    >>> round(fit_temperature(torch.tensor(said), torch.tensor(y)), 4)  # 2 / log 3: right in 3 of 4
    1.8205
    """
    scores = scores.double() - scores.double().amax(1, keepdim=True)
    if scores.shape[1] < 2 or not bool((scores < 0).any()):
        return 1.0
    count = torch.bincount(y, minlength=scores.shape[1])
    share = 1 / (count[y] * (count > 0).sum())
    own = (share * scores.gather(1, y[:, None])[:, 0]).sum()
    low, high = -4.0, 4.0  # of log10 1/T
    for _ in range(50):
        middle = (low + high) / 2
        expected = (torch.softmax(scores * 10**middle, 1) * scores).sum(1)
        if float((share * expected).sum() - own) < 0:
            low = middle
        else:
            high = middle
    return float(10 ** -((low + high) / 2))


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
    confidence, answer = p.double().max(1)
    right = (answer == y).double()
    place = (confidence * bins).long().clamp_max(bins - 1)
    gap = torch.zeros(bins, dtype=torch.float64, device=p.device)
    gap.index_add_(0, place, right - confidence)
    return float(gap.abs().sum() / len(y))
