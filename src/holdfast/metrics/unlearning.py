"""How unlearning is tested: against models that never saw the rows, and never by a low accuracy alone.

F are the rows to forget. An oracle is trained from scratch without F; it is often right on F all the same.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from holdfast.core.errors import ConfigError
from holdfast.metrics.missing import Missing

CLIP = 100.0  # margins beyond it are taken for it
BINS = 20
EMPTY = 1e-5  # share of an oracle's bin that holds none
FEW = 50  # models below which the Gaussian form is used
LEAST = 3  # models of a Gaussian


def margins(logits: Float[Tensor, "n k"], y: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
    """z_y - log sum_{c != y} e^{z_c}: how surely a row is given its class.

    Args:
        logits: (N, K), two classes at least.
        y: (N,) the class of each row.

    >>> round(margins(torch.tensor([[2.0, 0.0, 0.0]]), torch.tensor([0])).item(), 4)
    1.3069
    """
    logits = logits.double()
    rivals = logits.scatter(1, y[:, None], -torch.inf)
    return logits.gather(1, y[:, None])[:, 0] - rivals.logsumexp(1)


class Difference(NamedTuple):
    """The mean of paired differences over seeds, with its t interval.

    Attributes:
        mean: unlearned less retrained.
        low: end of the 95 % interval.
        high: its other end.
        pairs: seeds.
    """

    mean: float
    low: float
    high: float
    pairs: int


def retrained_difference(unlearned: Sequence[float], oracles: Sequence[float]) -> Difference:
    """Unlearned less retrained, by pairs of one seed: mean d +- t_{.975, m-1} s_d / sqrt m.

    Of accuracy on F, on the retained rows and on test rows alike: 0 is the aim, also on F.

    Args:
        unlearned: a figure of each unlearned model.
        oracles: the same of the retrained one of its seed.

    Returns:
        the `Difference`; ends that are `Missing` for one pair.

    Raises:
        ConfigError: for other numbers of both, or none.

    >>> round(retrained_difference([0.5, 0.7], [0.4, 0.4]).mean, 3)
    0.2
    """
    if len(unlearned) != len(oracles) or not len(oracles):
        raise ConfigError(
            f"{len(unlearned)} unlearned and {len(oracles)} retrained models are no pairs: give as many of "
            "one as of the other, of the same seeds."
        )
    d = np.asarray(unlearned, float) - np.asarray(oracles, float)
    mean, pairs = float(d.mean()), len(d)
    if pairs == 1:
        none = Missing("one pair says nothing of how much seeds differ")
        return Difference(mean, none, none, 1)
    from scipy import stats

    half = float(stats.t.ppf(0.975, pairs - 1) * d.std(ddof=1) / math.sqrt(pairs))
    return Difference(mean, mean - half, mean + half, pairs)


def klom(
    unlearned: Float[Tensor, "m n"], oracles: Float[Tensor, "o n"], form: str = "auto"
) -> Float[Tensor, " n"]:
    """KL( margins of unlearned models || margins of oracles ) of each row; report mean and 95th percentile.

    ``bins``: margins clipped to +-100, 20 bins over the range that both have together, empty bins of the
    oracles at 1e-5. ``gaussian``: log(s2/s1) + (s1^2 + (m1 - m2)^2) / (2 s2^2) - 1/2. It is not 0 for equal
    laws: compare it with `klom_floor`, never with 0.

    Args:
        unlearned: (m, N) margins of N rows by each of m models.
        oracles: (o, N) margins by models that were trained without F.
        form: ``bins``, ``gaussian``, or ``auto``: bins from 50 models on.

    Raises:
        ConfigError: for an unknown form, or models too few for it.

    Source: Georgiev et al., ICLR 2025, by the public benchmark of it (RoyRin/data-unlearning-bench)
    """
    models = min(len(unlearned), len(oracles))
    if form not in ("auto", "bins", "gaussian"):
        raise ConfigError(f"a form of KLOM is auto, bins or gaussian, not '{form}'.")
    if models < LEAST:
        raise ConfigError(f"KLOM compares the margins of {LEAST} models or more, not of {models}.")
    a, b = (t.double().clamp(-CLIP, CLIP) for t in (unlearned, oracles))
    if form == "bins" or (form == "auto" and models >= FEW):
        return torch.stack([_binned(a[:, i], b[:, i]) for i in range(a.shape[1])])
    m1, m2 = a.mean(0), b.mean(0)
    s1, s2 = (t.std(0).clamp_min(1e-6) for t in (a, b))
    return (s2 / s1).log() + (s1**2 + (m1 - m2) ** 2) / (2 * s2**2) - 0.5


def _binned(a: Float[Tensor, " m"], b: Float[Tensor, " o"]) -> Tensor:
    """KL of two histograms over their joint range."""
    low, high = (float(f(torch.cat([a, b]))) for f in (torch.min, torch.max))
    if high <= low:
        return a.new_zeros(())
    p, q = (torch.histc(t, BINS, low, high) / len(t) for t in (a, b))
    q = q.clamp_min(EMPTY)
    return torch.where(p > 0, p * (p.clamp_min(EMPTY) / q).log(), p).sum()


def klom_floor(
    oracles: Float[Tensor, "o n"], form: str = "auto", splits: int = 10, seed: int = 0
) -> Float[Tensor, " n"]:
    """What `klom` is between two halves of the oracles, a mean over splits: what equal laws look like.

    Halves have half as many models, so that compare it with `klom` of as many.

    Args:
        oracles: (o, N) margins.
        form: as of `klom`.
        splits: into halves.
        seed: of them.

    Raises:
        ConfigError: for fewer than six models.
    """
    half = len(oracles) // 2
    if half < LEAST:
        raise ConfigError(f"a floor of KLOM needs {2 * LEAST} oracles or more, not {len(oracles)}.")
    generator = torch.Generator().manual_seed(seed)
    total = torch.zeros(oracles.shape[1], dtype=torch.float64)
    for _ in range(splits):
        order = torch.randperm(len(oracles), generator=generator)
        total += klom(oracles[order[:half]], oracles[order[half : 2 * half]], form)
    return total / splits


@dataclass(frozen=True)
class Membership:
    """How well a score tells rows of F from unseen rows of the same class and time.

    Attributes:
        auc: chance that a row of F has the larger score; ties count a half.
        sd: of the AUC where nothing can be told, sqrt((n + m + 1) / (12 n m)).
        tpr: share of F found where 1 % of the unseen rows are called members.
        members: n rows of F.
        unseen: m others.
    """

    auc: float
    sd: float
    tpr: float
    members: int
    unseen: int

    @property
    def leak(self) -> float:
        """|AUC - 1/2|: rows that were forgotten too well are told as easily as those that were not."""
        return abs(self.auc - 0.5)

    @property
    def sure(self) -> bool:
        """Whether the leak is more than two standard deviations of chance."""
        return self.leak > 2 * self.sd


def membership(members: Float[Tensor, " n"], unseen: Float[Tensor, " m"]) -> Membership:
    """Membership inference by one threshold on a score, such as `margins` or minus the loss.

    Unseen rows must be of the same classes and time as F, or the score tells these and not membership.
    A threshold for every row (with shadow models) tells more; this is the least that an attacker can do.

    Args:
        members: scores of F.
        unseen: scores of rows that were never learned.

    Raises:
        ConfigError: where one is empty.

    >>> membership(torch.tensor([2.0, 3.0]), torch.tensor([1.0, 2.0])).auc
    0.875
    """
    n, m = len(members), len(unseen)
    if not n or not m:
        raise ConfigError(
            "membership compares rows that were learned with rows that were not: give both."
        )
    a, b = members.double().numpy(), unseen.double().numpy()
    from scipy import stats

    auc = float(stats.mannwhitneyu(a, b).statistic) / (n * m)
    allowed = int(0.01 * m)  # false members
    threshold = np.sort(b)[m - 1 - allowed]
    sd = math.sqrt((n + m + 1) / (12 * n * m))
    return Membership(auc, sd, float((a > threshold).mean()), n, m)


def gaussian_auc(d: float) -> float:
    """Phi(d / sqrt 2): the AUC of two normal scores of one spread whose means lie d spreads apart.

    >>> round(gaussian_auc(1.0), 3)
    0.76
    """
    from scipy import stats

    return float(stats.norm.cdf(d / math.sqrt(2)))


def relearn_time(accuracies: Sequence[float], target: float) -> float:
    """Steps until the accuracy on F is back at a target: less than an oracle needs is a trace of F.

    Args:
        accuracies: before the first step, and after each.
        target: such as what the model had before it unlearned.

    Returns:
        the first step that reaches it; `Missing` if none does.

    >>> relearn_time([0.2, 0.5, 0.9, 0.8], 0.8)
    2.0
    """
    for step, accuracy in enumerate(accuracies):
        if accuracy >= target:
            return float(step)
    return Missing(f"{len(accuracies) - 1} steps did not bring it back")
