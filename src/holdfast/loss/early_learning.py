"""EarlyLearning: what a network said early is believed, so that wrong labels are not learned by heart."""

from __future__ import annotations

from typing import get_args

from jaxtyping import Float
from torch import Tensor

from holdfast.core.errors import ConfigError
from holdfast.core.step import Part, Step
from holdfast.loss.checks import require_option, require_pair
from holdfast.loss.classify import Competing, competing
from holdfast.loss.row_table import NotingTerm, mean_by_key

LEAST = 1e-4  # of a probability


def agreement_penalty(
    logits: Float[Tensor, "n k"], target: Float[Tensor, "n k"]
) -> Float[Tensor, " n"]:
    """(N,) log(1 - <q_i, t_i>), q = softmax(logits) within [1e-4, 1 - 1e-4]: low where both agree.

    The gradient by the logits is p_c (s - t_c) / (1 - s), s = <p, t>, and sums to 0.

    Args:
        logits: (N, K).
        target: (N, K) of non-negative numbers that sum to 1 at most.

    Raises:
        DataError: for tensors of two shapes.

    >>> import torch
    >>> agreement_penalty(torch.zeros(1, 2), torch.tensor([[0.5, 0.5]]))  # log 1/2
    tensor([-0.6931])
    """
    require_pair("logits and targets", logits, target)
    return (1 - (bounded(logits) * target).sum(1)).log()


def bounded(logits: Float[Tensor, "n k"]) -> Float[Tensor, "n k"]:
    """Softmax, no number of which is below 1e-4 or above 1 - 1e-4."""
    return logits.softmax(1).clamp(LEAST, 1 - LEAST)


class EarlyLearning(NotingTerm):
    """mean_i log(1 - <q_i, t_i>), t_i <- beta t_i + (1 - beta) q_i / sum q_i, beside a cross-entropy.

    t_i is a running mean of what the network said of the sample, 0 at first; it moves before the term is
    read, once a step, and no gradient flows through it. The value is negative by nature. Rows that a
    memory brings ask nothing. With clean labels it rewards overconfidence: look at the calibration.

    Kept are N K numbers while a task is learned, and nothing after it.

    Args:
        beta: how much of t stays, in [0, 1); the source has 0.7 with weight 3 for 10 classes and 0.9 with
            weight 7 for 100.
        classes: over which the softmax runs, as for `CrossEntropy`.
        on: the part it is asked of.

    Raises:
        ConfigError: for a beta out of [0, 1), or another set of classes.

    Source: Liu et al., *Early-learning regularization prevents memorization of noisy labels* (ELR), NeurIPS
        2020; read in the authors' code
    """

    label = "elr"
    reads = ("logits",)
    asks = ("logits",)

    def __init__(self, beta: float = 0.7, classes: Competing = "new", on: str = "batch"):
        super().__init__()
        require_option("set of classes", classes, get_args(Competing))
        if not 0 <= beta < 1:
            raise ConfigError(f"the beta of a running mean lies in [0, 1), not beta={beta}.")
        self.classes: Competing = classes
        self.beta, self.on = beta, on

    def value(self, part: Part, step: Step) -> Tensor:
        """Mean over the rows of the task."""
        key = part.rows.key
        logits, _ = competing(part.out.logits, part.rows.y, self.classes, step)
        target = step.once(self, lambda: self._moved(key, logits.detach()))
        there = self.table.find(key)[1]
        total = agreement_penalty(logits, target).masked_fill(~there, 0.0).sum()
        return total / there.sum().clamp_min(1)

    def _moved(self, key: Tensor, logits: Tensor) -> Tensor:
        """(N, C) the targets, moved towards what the network says now."""
        q = bounded(logits)
        now = mean_by_key(q / q.sum(1, keepdim=True), key)
        target = self.beta * self.table.read(key, now).nan_to_num(0.0) + (1 - self.beta) * now
        self.table.write(key, target)
        return target
