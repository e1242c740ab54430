"""What was learned against what was kept, from the matrix of accuracies (docs/theory.md, section 15)."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from holdfast.core.numerics import in_float64
from holdfast.metrics.missing import Missing


class Balance(NamedTuple):
    """Plasticity against stability.

    Attributes:
        plasticity: P, the mean of R[j, j].
        forgetting: F, the mean over j < T-1 of the best R[i, j], i < T-1, less R[T-1, j].
        stability: 1 - F / P.
        intransigence: I, the mean of reference[j] - R[j, j].
        forgetting_error: standard error of F by the test rows, where their numbers are given.
        intransigence_error: the same of I.
    """

    plasticity: float
    forgetting: float
    stability: float
    intransigence: float
    forgetting_error: float
    intransigence_error: float

    @property
    def anchor(self) -> str:
        """Failure signature 3: ``too little``, ``too much``, ``both`` or ``neither``; empty if unknown."""
        if any(value != value for value in self):
            return ""
        lost = self.forgetting > 2 * self.forgetting_error
        stiff = self.intransigence > 2 * self.intransigence_error
        return {(True, False): "too little", (False, True): "too much", (True, True): "both"}.get(
            (lost, stiff), "neither"
        )


def balance(
    matrix: Float[Tensor, "t t"],
    reference: Float[Tensor, " t"] | None = None,
    sizes: Float[Tensor, " t"] | None = None,
) -> Balance:
    """Plasticity, forgetting, stability and intransigence after the last task of a matrix.

    In Class-IL R[j, j] competes with fewer classes than R[T-1, j]: read forgetting in Task-IL too.

    Args:
        matrix: (T, T) R[i, j], the lower triangle filled.
        reference: (T,) accuracy on task j of a network that was free to learn it: alone from the
            same weights, jointly, or by plain fine-tuning (then in Task-IL).
        sizes: (T,) test rows of each task, for the standard error.

    Returns:
        shares; `Missing` where there is one task (forgetting, stability), or no reference.
    """
    R = in_float64(matrix)
    T, learned = len(R), R.diagonal()
    n = None if sizes is None else in_float64(sizes)[:T]
    P, none = float(learned.mean()), Missing("there is one task")
    F, F_error, I = none, none, Missing("there is no reference run")  # noqa: E741
    I_error: float = I
    if T > 1:
        best = R[: T - 1, : T - 1].nan_to_num(nan=-torch.inf).amax(0)
        F = float((best - R[T - 1, : T - 1]).mean())
        F_error = _error(best, R[T - 1, : T - 1], n)
    if reference is not None:
        free = in_float64(reference)[:T]
        I, I_error = float((free - learned).mean()), _error(free, learned, n)  # noqa: E741
    S = none if T < 2 else Missing("nothing was learned") if P <= 0 else 1 - F / P
    return Balance(P, F, S, I, F_error, I_error)


def _error(a: Tensor, b: Tensor, n: Tensor | None) -> float:
    """Standard error of the mean of a - b, two shares of n rows each."""
    if n is None:
        return Missing("the numbers of test rows are not known")
    variance = (a * (1 - a) + b * (1 - b)) / n[: len(a)]
    return math.sqrt(float(variance.sum())) / len(a)
