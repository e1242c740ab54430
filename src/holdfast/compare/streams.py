"""Many methods on many streams: Friedman's test of ranks, where there are streams enough for it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import stats

from holdfast.core.errors import ConfigError

LEAST = 5  # streams


@dataclass(frozen=True)
class Ranks:
    """What Friedman's test says of the ranks of k methods on N streams.

    Attributes:
        mean: rank of each method, 1 is best; ties share.
        statistic: of Iman and Davenport, F on (k - 1, (k - 1)(N - 1)) degrees of freedom.
        p: of it.
    """

    mean: tuple[float, ...]
    statistic: float
    p: float


def friedman(scores: Float[np.ndarray, "n k"]) -> Ranks:
    """Whether k methods differ over N streams (docs/theory.md, section 14).

    chi2 = 12 N / (k (k + 1)) [sum R_j^2 - k (k + 1)^2 / 4] and F = (N - 1) chi2 / (N (k - 1) - chi2).

    Args:
        scores: a mean over blocks for each stream (row) and method (column); more is better.

    Raises:
        ConfigError: for fewer than 5 streams, on which it has no power, or one method.
    """
    streams, methods = scores.shape
    if streams < LEAST or methods < 2:
        raise ConfigError(
            f"a test of ranks over streams needs {LEAST} streams and 2 methods, not {streams} and "
            f"{methods}: with fewer it sees nothing; compare within each stream."
        )
    ranks = stats.rankdata(-scores, axis=1).mean(0)
    chi2 = (
        12 * streams / (methods * (methods + 1))
        * (float((ranks**2).sum()) - methods * (methods + 1) ** 2 / 4)
    )  # fmt: skip
    below = streams * (methods - 1) - chi2
    value = (streams - 1) * chi2 / below if below > 0 else float("inf")
    df = methods - 1, (methods - 1) * (streams - 1)
    return Ranks(tuple(map(float, ranks)), float(value), float(stats.f.sf(value, *df)))
