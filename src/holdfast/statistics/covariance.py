"""Covariances read off statistics: one for all classes, or one for each, shrunk so that they invert."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from holdfast.core.errors import ConfigError
from holdfast.statistics.class_statistics import Statistics


class Covariance(ABC):
    """How the covariance of a class follows from statistics (docs/theory.md, section 9)."""

    @abstractmethod
    def matrix(self, statistics: Statistics, k: int) -> Float[Tensor, "f f"]:
        """(f, f) covariance of class k, positive definite."""

    @abstractmethod
    def roots(
        self, statistics: Statistics, classes: Sequence[int]
    ) -> Iterator[Float[Tensor, "f f"]]:
        """The lower Cholesky factor of each class's covariance."""


Target = Literal["scaled", "diagonal"]


@dataclass(frozen=True)
class SharedCovariance(Covariance):
    """(1 - a) S + (a + 1e-6) D, with S the pooled within-class covariance: one for all.

    Attributes:
        shrinkage: a; None chooses it by `oracle_shrinkage`.
        target: of the shrinkage: D = tr(S)/f I (scaled), or the variances of S alone (diagonal),
            which asks nothing of the features' units.
        prior: in place of both, unless it is 0: (n S + m D) / (n + m) with n rows beside their classes'
            means, m = prior f, and D the variances of S, none below a thousandth of their mean: an
            inverse Wishart prior of m rows whose features do not go together.
    """

    shrinkage: float | None = None
    target: Target = "scaled"
    prior: float = 0.0

    def matrix(self, statistics: Statistics, k: int = 0) -> Tensor:
        """The same for every class; where no class has two rows, S is the variance of all rows."""
        within = self._within(statistics)
        share = self._share(within, statistics.freedom)
        matrix = (1 - share) * within
        matrix.diagonal().add_((share + 1e-6) * self._variances(statistics, within))
        return matrix

    def full_shrunk(self, statistics: Statistics) -> Float[Tensor, " f"]:
        """The diagonal of `matrix` at shrinkage 1, where there is nothing beside it."""
        return (1 + 1e-6) * self._variances(statistics, self._within(statistics))

    def _share(self, within: Tensor, n: float) -> float:
        """How much of D there is."""
        if self.prior:
            rows = self.prior * len(within)
            return rows / (n + rows)
        return self.shrinkage if self.shrinkage is not None else oracle_shrinkage(within, n)

    def _within(self, statistics: Statistics) -> Tensor:
        within = statistics.within()
        return within if bool(within.diagonal().any()) else statistics.spread().diag()

    def _variances(self, statistics: Statistics, within: Tensor) -> Tensor:
        """The diagonal of D."""
        mean = within.diagonal().mean().clamp_min(1e-12)
        if self.prior:
            return within.diagonal().clamp_min(1e-3 * mean)
        if self.target == "scaled":
            return mean.expand(len(within))
        # a feature that never varies within a class is left small
        return within.diagonal().clamp_min(1e-6 * statistics.spread() + 1e-12 * mean)

    def roots(self, statistics: Statistics, classes: Sequence[int]) -> Iterator[Tensor]:
        """The one factor, for every class."""
        return repeat(torch.linalg.cholesky(self.matrix(statistics)), len(classes))


@dataclass(frozen=True)
class ClassCovariance(Covariance):
    """P_k + gamma1 v1 I + gamma2 v2 (1 - I), P_k = (scatter_k + pool S) / (n_k - 1 + pool).

    S is the pooled within-class covariance, v1 the mean of P_k's diagonal and v2 that of its other
    entries. With ``pool`` above 0 one example is enough (Friedman, 1989).

    Attributes:
        gamma1: shrinkage of the diagonal.
        gamma2: shrinkage of the rest, at most gamma1.
        pool: how many examples S counts for.
        normalise: whether the result is scaled to a correlation.
        twice: whether the shrunk matrix is shrunk again, by its own v1 and v2, as in FeCAM's code; v2 is
        then
            the mean of the entries that are not 0.

    Raises:
        ConfigError: for a negative value, or gamma2 above gamma1.
    """

    gamma1: float = 0.1
    gamma2: float = 0.0
    pool: float = 10.0
    normalise: bool = False
    twice: bool = field(default=False, repr=False)  # older runs are told by their repr

    def __post_init__(self):
        if not 0 <= self.gamma2 <= self.gamma1 or not self.pool >= 0:
            raise ConfigError(
                "gamma1, gamma2 and pool must be at least 0 and gamma2 at most gamma1, for covariances "
                f"stay positive by that: not {self.gamma1}, {self.gamma2} and {self.pool}."
            )

    def matrix(self, statistics: Statistics, k: int, within: Tensor | None = None) -> Tensor:
        """Of class k; ``within`` is the pooled covariance, to be computed once for many classes."""
        within = statistics.within() if within is None else within
        n = float(statistics.count[k]) - 1 + self.pool
        pooled = (statistics.scatter.matrix(k) + self.pool * within) / max(n, 1.0)
        covariance = self._shrunk(pooled)
        covariance = self._shrunk(covariance) if self.twice else covariance
        covariance.diagonal().add_(1e-6 * within.diagonal().mean().clamp_min(1e-12))
        if self.normalise:
            deviation = covariance.diagonal().sqrt()
            covariance = covariance / deviation[:, None] / deviation
        return covariance

    def _shrunk(self, matrix: Tensor) -> Tensor:
        """P + gamma1 v1 I + gamma2 v2 (1 - I)."""
        eye = torch.eye(len(matrix)).to(matrix)
        entries = len(matrix) * (len(matrix) - 1)
        if self.twice:
            entries = int((matrix != 0).sum() - (matrix.diagonal() != 0).sum())
        v2 = (matrix.sum() - matrix.trace()) / max(entries, 1)
        return matrix + self.gamma1 * matrix.diagonal().mean() * eye + self.gamma2 * v2 * (1 - eye)

    def roots(self, statistics: Statistics, classes: Sequence[int]) -> Iterator[Tensor]:
        """One factorisation a class."""
        within = statistics.within()
        return (torch.linalg.cholesky(self.matrix(statistics, k, within)) for k in classes)


def oracle_shrinkage(covariance: Float[Tensor, "f f"], n: float) -> float:
    """Share of the scaled identity that a covariance of n samples needs, at most 1.

    ((1 - 2/f) tr(S^2) + tr(S)^2) / ((n + 1 - 2/f) (tr(S^2) - tr(S)^2 / f))

    Source: Chen, Wiesel, Eldar, Hero, *Shrinkage algorithms for MMSE covariance estimation*, 2010, eq. 23
    """
    f = covariance.shape[0]
    square, trace2 = float((covariance**2).sum()), float(covariance.trace() ** 2)
    return min(
        1.0, ((1 - 2 / f) * square + trace2) / max((n + 1 - 2 / f) * (square - trace2 / f), 1e-300)
    )


def draw_rows(
    statistics: Statistics, covariance: Covariance, each: int, seed: int = 0
) -> tuple[Float[Tensor, "n f"], Int[Tensor, " n"]]:
    """Rows drawn from the Gaussian of every class met, and their classes.

    Args:
        statistics: of K classes.
        covariance: of the draws.
        each: draws of a class.
        seed: of the draws; one seed gives the same rows on every device.

    Returns:
        (M each, f) rows in float64 and (M each,) classes, M being the number of classes met.
    """
    met = statistics.met.nonzero()[:, 0]
    noise = torch.randn(
        len(met), each, statistics.mean.shape[1],
        generator=torch.Generator().manual_seed(seed), dtype=torch.float64,
    ).to(statistics.mean)  # fmt: skip
    classes = met.tolist()
    roots = covariance.roots(statistics, classes)
    rows = [statistics.mean[k] + z @ root.T for k, z, root in zip(classes, noise, roots)]
    return torch.cat(rows), met.repeat_interleave(each)
