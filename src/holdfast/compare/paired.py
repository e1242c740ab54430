"""The mean of paired differences, with the interval and the tests that so few blocks allow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from holdfast.core.errors import ConfigError

EXACT = 16  # blocks up to which every pattern of signs is counted
DRAWS = 100_000  # of signs beyond that
POWER, ALPHA = 0.8, 0.05


@dataclass(frozen=True)
class Estimate:
    """A mean over blocks and how well it is known (docs/theory.md, section 14).

    Attributes:
        n: blocks.
        mean: of the values.
        se: standard error of the mean; nan for one block.
        df: degrees of freedom of the interval; nan for one block.
        crossed: whether seeds and orders were crossed, so that the error has a share of each.
    """

    n: int
    mean: float
    se: float
    df: float
    crossed: bool = False

    def half_width(self, level: float = 0.95) -> float:
        """Half of the t interval; nan where nothing says how much blocks differ."""
        if not math.isfinite(self.se):
            return math.nan
        return float(stats.t.ppf(0.5 + level / 2, self.df)) * self.se if self.se else 0.0

    @property
    def p(self) -> float:
        """Two-sided p of the t test that the mean is 0; nan for one block."""
        if not math.isfinite(self.se):
            return math.nan
        if not self.se:
            return 0.0 if self.mean else 1.0
        return float(2 * stats.t.sf(abs(self.mean) / self.se, self.df))

    @property
    def detectable(self) -> float:
        """The difference that these blocks would show with power 0.8 at 5 %; nan for one block."""
        return detectable_ratio(self.df) * self.se if math.isfinite(self.se) else math.nan

    def within(self, margin: float) -> bool:
        """Two one-sided tests at 5 %: the 90 % interval lies inside the margin.

        Raises:
            ConfigError: for a margin that is not above 0.
        """
        if not margin > 0:
            raise ConfigError(f"a margin of equivalence is a number above 0, not {margin}.")
        return abs(self.mean) + self.half_width(0.9) < margin


def estimated(values: Sequence[float]) -> Estimate:
    """The mean of values of independent blocks: mean +- t s / sqrt B.

    Raises:
        ConfigError: for no value.

    >>> e = estimated([1.0, 2.0, 3.0])
    >>> e.mean, round(e.half_width(), 3)
    (2.0, 2.484)
    """
    x = np.asarray(values, float)
    if not x.size:
        raise ConfigError("a mean needs at least one value.")
    if x.size == 1:
        return Estimate(1, float(x[0]), math.nan, math.nan)
    return Estimate(x.size, float(x.mean()), float(x.std(ddof=1) / math.sqrt(x.size)), x.size - 1)


def sign_flip(
    differences: Sequence[float], draws: int = DRAWS, seed: int = 0
) -> tuple[float, bool]:
    """Two-sided p of the test that flips the sign of each difference, and whether it is exact.

    Up to 16 differences all 2^B patterns are counted; beyond, ``draws`` patterns from a seed and the
    one that was seen: (1 + as large) / (1 + draws).

    >>> sign_flip([1.0, 2.0, 3.0])
    (0.25, True)
    """
    d = np.asarray(differences, float)
    seen = abs(d.sum()) * (1 - 1e-12) - 1e-15
    if d.size <= EXACT:
        patterns = (np.arange(2**d.size)[:, None] >> np.arange(d.size)) & 1
        return float((np.abs((1 - 2 * patterns) @ d) >= seen).mean()), True
    signs = np.random.default_rng(seed).integers(0, 2, (draws, d.size)) * 2 - 1
    return float((1 + (np.abs(signs @ d) >= seen).sum()) / (1 + draws)), False


def floor_of_p(blocks: int) -> float:
    """The least two-sided p that a sign-flip or Wilcoxon test of so many blocks can have: 2 / 2^B.

    >>> [round(floor_of_p(n), 3) for n in (3, 4, 5, 6)]
    [0.25, 0.125, 0.062, 0.031]
    """
    return 2.0 / 2**blocks


def detectable_ratio(df: float, power: float = POWER, alpha: float = ALPHA) -> float:
    """The true mean, in standard errors, that a two-sided t test finds with some power.

    It solves P(|T| > t_crit) = power for the noncentrality of T.

    >>> round(detectable_ratio(4) / 5**0.5, 2)  # 5 blocks, in standard deviations
    1.68
    """
    critical = float(stats.t.ppf(1 - alpha / 2, df))
    low, high = 0.0, critical + 50.0
    while stats.nct.sf(critical, df, high) < power:
        high *= 2
    for _ in range(80):
        middle = (low + high) / 2
        reached = stats.nct.sf(critical, df, middle) + stats.nct.cdf(-critical, df, middle)
        low, high = (middle, high) if reached < power else (low, middle)
    return (low + high) / 2


def holm(p: Sequence[float]) -> list[float]:
    """Holm's adjusted p of a family of tests that was named beforehand; nan stays nan.

    >>> [round(v, 3) for v in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    known = [i for i, value in enumerate(p) if math.isfinite(value)]
    adjusted, largest = [math.nan] * len(p), 0.0
    for rank, i in enumerate(sorted(known, key=lambda i: p[i])):
        largest = max(largest, min(1.0, (len(known) - rank) * p[i]))
        adjusted[i] = largest
    return adjusted
