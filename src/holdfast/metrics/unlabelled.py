"""Scores that need no labels of the target, to choose a weight by; and what choosing by them costs.

No score is reliable: entropy and density reward a model that answers one class, and weights of
importance explode where domains lie apart. Report the `regret` against the choice by labels, and never a
score alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from holdfast.core.numerics import in_float64
from holdfast.metrics.missing import Missing

CHUNK = 1024  # rows whose neighbours are looked at together
HIGH = {  # whether more is better
    "entropy": False,
    "information": True,
    "density": True,
    "weighted": True,
    "dev": False,
    "circular": True,
}
Fit = Callable[[Tensor, Tensor], Callable[[Tensor], Tensor]]


def entropy(p: Float[Tensor, "n k"]) -> float:
    """mean_i H(p_i), natural logarithm: low where answers are sure, also where all are one class.

    Args:
        p: (N, K) probabilities.

    Source: [V] scikit-adaptation/skada and KevinMusgrave/pytorch-adapt; the former averages over N K
    entries
    """
    return float(_entropies(p).mean()) if len(p) else Missing("there are no rows")


def information(p: Float[Tensor, "n k"]) -> float:
    """H(mean_i p_i) - mean_i H(p_i): high where answers are sure and of many classes; 0 for one class.

    Args:
        p: (N, K) probabilities.
    """
    if not len(p):
        return Missing("there are no rows")
    return float(_entropies(in_float64(p).mean(0, keepdim=True))[0]) - entropy(p)


def density(p: Float[Tensor, "n k"], temperature: float = 0.05) -> float:
    """mean_i H(q_i), q_ij = softmax over j != i of <u_i, u_j> / T, u = p / ||p||; at most log(N - 1).

    Soft neighbourhood density; a row is no neighbour of itself. It is highest where all answers are one.

    Args:
        p: (N, K) probabilities.
        temperature: T, of the neighbourhood.

    Source: Saito et al., Tune it the right way, ICCV 2021; [V] KevinMusgrave/pytorch-adapt (skada sets the
        similarity to itself to -1/temperature instead)
    """
    if len(p) < 2:
        return Missing("there are fewer than two rows")
    u = torch.nn.functional.normalize(in_float64(p), dim=1)
    total = 0.0
    for index in torch.arange(len(u), device=u.device).split(CHUNK):
        likeness = u[index] @ u.T / temperature
        likeness[torch.arange(len(index), device=u.device), index] = -torch.inf
        total += float(_entropies(likeness.softmax(1)).sum())
    return total / len(u)


def weighted(right: Bool[Tensor, " n"], weight: Float[Tensor, " n"]) -> float:
    """sum_s w_s acc_s / sum_s w_s over labelled rows of the source; 1 for each is their accuracy.

    Args:
        right: (N,) whether the model is right.
        weight: (N,) p_t(x) / p_s(x), such as `domain_odds`.

    Source: Sugiyama et al., Covariate shift adaptation by importance weighted cross validation, JMLR 2007
    """
    w = in_float64(weight)
    return float((w * right.to(w)).sum() / w.sum()) if len(w) else Missing("there are no rows")


def dev(loss: Float[Tensor, " n"], weight: Float[Tensor, " n"]) -> float:
    """mean(w l) + e mean(w) - e, e = -Cov(w l, w) / Var(w): a weighted loss with less variance.

    Where all weights are equal e is 0. Its variance grows with the weights: look at `effective_rows`.

    Args:
        loss: (N,) cross-entropy of labelled held-out rows of the source.
        weight: (N,) p_t(h) / p_s(h), such as `domain_odds`.

    Source: You et al., Towards accurate model selection in deep unsupervised domain adaptation, ICML
    2019; [V]
        KevinMusgrave/pytorch-adapt
    """
    if not len(loss):
        return Missing("there are no rows")
    w = in_float64(weight)
    wl = w * loss.to(w)
    spread = (w - w.mean()).square().mean()
    together = ((w - w.mean()) * (wl - wl.mean())).mean()
    e = -together / spread if float(spread) > 1e-24 * float(w.mean()) ** 2 else spread * 0
    return float(wl.mean() + e * w.mean() - e)


def effective_rows(weight: Float[Tensor, " n"]) -> float:
    """(sum w)^2 / sum w^2: as so many rows of weight 1.

    Args:
        weight: (N,) at least 0.

    >>> effective_rows(torch.tensor([1.0, 1.0, 0.0]))
    2.0
    """
    w = in_float64(weight)
    return float(w.sum() ** 2 / w.square().sum().clamp_min(1e-300))


def circular(
    fit: Fit,
    target: Float[Tensor, "m f"],
    answers: Int[Tensor, " m"],
    source: Float[Tensor, "n f"],
    y: Int[Tensor, " n"],
) -> float:
    """Balanced accuracy on the source of a readout that was fitted on the target as a model labels it.

    Args:
        fit: from features and labels to a function from features to answers.
        target: (M, f) features without labels.
        answers: (M,) the model's.
        source: (N, f) features of labelled rows.
        y: (N,) their classes.

    Source: Bruzzone, Marconcini, Domain adaptation problems, PAMI 2010; [V] scikit-adaptation/skada
    """
    if not len(y) or not len(answers):
        return Missing("there are no rows")
    right = (fit(target, answers)(source) == y).double()
    return float(torch.stack([right[y == c].mean() for c in y.unique()]).mean())


def regret(scores: Sequence[float], accuracies: Sequence[float], high: bool = True) -> float:
    """What choosing by a score costs: the best accuracy less that of the choice; equal scores share.

    Args:
        scores: of each candidate; NaN is never chosen.
        accuracies: of each, by labels.
        high: whether a higher score is better (`HIGH`).

    Returns:
        at least 0, in the accuracies' unit; `Missing` where no score is a number.

    >>> regret([1.0, 3.0, 2.0], [0.75, 0.5, 0.625]), regret([1.0, 1.0], [0.75, 0.5])
    (0.25, 0.125)
    """
    known = [(s if high else -s, a) for s, a in zip(scores, accuracies, strict=True) if s == s]
    if not known:
        return Missing("no candidate has a score")
    best = max(s for s, _ in known)
    chosen = [a for s, a in known if s == best]
    return max(accuracies) - sum(chosen) / len(chosen)


def _entropies(p: Float[Tensor, "n k"]) -> Float[Tensor, " n"]:
    """(N,) H(p_i)."""
    return torch.special.entr(in_float64(p)).sum(1)
