"""The share of an anchor's gain that is memory: (A_past - A_random) / (A_past - A_none)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import stats

from holdfast.compare.shown import number
from holdfast.study.outcomes import OUTCOMES, PRIMARY

if TYPE_CHECKING:
    from holdfast.study.analysis import Analysis

CONTROLS = ("random matched", "random", "shuffled")


class Share(NamedTuple):
    """A ratio of two paired means with its interval; ends are nan where the denominator may be 0."""

    value: float
    low: float
    high: float


def ratio(
    above: Float[np.ndarray, " b"], below: Float[np.ndarray, " b"], level: float = 0.95
) -> Share:
    """Mean(above) / mean(below) with Fieller's interval over blocks.

    The ends solve (a - r b)^2 = t^2 (v_a - 2 r v_ab + r^2 v_b), with variances of the means. Where the
    interval of mean(below) holds 0 the ratio is not defined, and all three are nan.

    Args:
        above: (B,) differences of the numerator, by block.
        below: (B,) of the denominator, of the same blocks.
        level: of the interval.

    Source: Fieller, *Some problems in interval estimation*, 1954

    >>> x = np.array([1.0, 2.0, 3.0, 2.0])
    >>> [round(v, 6) for v in ratio(x, 2 * x)]
    [0.5, 0.5, 0.5]
    """
    undefined = Share(math.nan, math.nan, math.nan)
    B = len(above)
    if B < 2:
        return undefined
    a, b = float(np.mean(above)), float(np.mean(below))
    covariance = np.cov(above, below) / B
    t2 = float(stats.t.ppf(0.5 + level / 2, B - 1)) ** 2
    A = b**2 - t2 * covariance[1, 1]
    if A <= 0:
        return undefined
    middle = a * b - t2 * covariance[0, 1]
    inside = middle**2 - A * (a**2 - t2 * covariance[0, 0])
    half = math.sqrt(max(inside, 0.0))
    return Share(a / b, float((middle - half) / A), float((middle + half) / A))


def memory_share(analysis: Analysis) -> Sequence[str]:
    """A sentence a control: what share of the past network's gain it does not have."""
    values, sentences = analysis.values, []
    scale = OUTCOMES[PRIMARY].scale
    for control in CONTROLS:
        arms = [values.get(name, {}) for name in ("past", control, "none")]
        blocks = [b for b in arms[0] if all(b in arm for arm in arms)]
        past, other, none = (scale * np.array([arm[b][PRIMARY] for b in blocks]) for arm in arms)
        share = ratio(past - other, past - none)
        words = (
            f"Of what the past network gains over no distillation, with {control} as the control,"
        )
        if math.isnan(share.value):
            sentences.append(f"{words} no share of memory can be given: the gain itself may be 0.")
        else:
            sentences.append(
                f"{words} {number(100 * share.value, 0)} % is memory (95 % interval "
                f"{number(100 * share.low, 0)} to {number(100 * share.high, 0)} %)."
            )
    return sentences
