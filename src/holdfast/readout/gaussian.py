"""Classes as Gaussians from streaming statistics, with one covariance for all."""

from __future__ import annotations

import math
from abc import abstractmethod
from functools import partial

from jaxtyping import Float, Int
from torch import Tensor, nn

from holdfast.core.errors import ConfigError
from holdfast.core.numerics import solve_positive
from holdfast.core.output import Output
from holdfast.readout.decision import (
    Decision,
    Linear,
    SharedWhitening,
    Whitening,
)
from holdfast.readout.readout import READOUTS, Space, register
from holdfast.readout.streaming import Streaming
from holdfast.statistics.class_statistics import Statistics
from holdfast.statistics.covariance import Covariance, SharedCovariance, draw_rows
from holdfast.statistics.drift import DriftName
from holdfast.statistics.kinds import ScatterKind


class Tukey(nn.Module):
    """A power of each feature's absolute value, its sign kept."""

    def __init__(self, power: float):
        super().__init__()
        self.power = power

    def forward(self, x: Tensor) -> Tensor:
        """sign(x) |x|^power."""
        return x.sign() * x.abs() ** self.power


class Gaussian(Streaming):
    """A streaming readout whose classes are Gaussians, so that it can draw; strange is what is far."""

    def __init__(
        self,
        on: Space,
        drift: DriftName,
        structure: ScatterKind,
        rank: int = 0,
        tukey: float = 1.0,
    ):
        super().__init__(on, drift, structure, rank)
        if not tukey > 0:
            raise ConfigError(f"the exponent tukey must be positive, not {tukey}.")
        self.tukey = tukey
        self._whitening: Whitening | None = None

    def representation(self, width: int) -> nn.Module:
        """Tukey's power; nothing for the power 1."""
        return nn.Identity() if self.tukey == 1 else Tukey(self.tukey)

    @property
    @abstractmethod
    def spread(self) -> Covariance:
        """The covariance of a class's rows, of which draws are made."""

    @abstractmethod
    def covariance(self, k: int) -> Float[Tensor, "f f"]:
        """(f, f) by which distances to class k are measured."""

    @abstractmethod
    def whitened(self, statistics: Statistics) -> Whitening:
        """The distances by these statistics."""

    @property
    def whitening(self) -> Whitening:
        """The distances: solved once a fit, like `decision`."""
        if self._whitening is None:
            self._whitening = self.whitened(self.known)
        return self._whitening

    def forget_decision(self) -> None:
        """The distances too."""
        super().forget_decision()
        self._whitening = None

    def draw(self, each: int, seed: int = 0) -> tuple[Float[Tensor, "n f"], Int[Tensor, " n"]]:
        """Pseudo-features and their classes: ``each`` of every class met, the same for one seed."""
        return draw_rows(self.known, self.spread, each, seed)

    def strangeness(
        self, statistics: Statistics, decision: Decision, x: Float[Tensor, "n f"]
    ) -> Float[Tensor, " n"]:
        """(N,) squared Mahalanobis distance to the nearest class."""
        return self._distances(statistics).squared(x)[:, statistics.met].amin(1)

    def _distances(self, statistics: Statistics) -> Whitening:
        """Those by statistics, which are kept for what is known."""
        return self.whitening if statistics is self.statistics else self.whitened(statistics)

    def strange_network(self) -> nn.Module | None:
        """None: an export makes one of the distances."""
        return None

    def distance(self, out: Output) -> Float[Tensor, " n"]:
        """(N,) squared Mahalanobis distance to the nearest class."""
        return self.strangeness(self.known, self.decision, self.read(out))


@register("gaussian")
class SharedGaussian(Gaussian):
    """Classes as Gaussians with one covariance: argmax_k x.S^-1 m_k - 1/2 m_k.S^-1 m_k, equal priors.

    What is stored: K (1 + f) + f^2 + 202 numbers in float64; adding tasks in any order gives the
    same statistics on a frozen network.

    Args:
        on: ``features``, ``hidden`` or ``embedding``.
        shrinkage: share of the scaled identity in the covariance; None chooses it by the oracle
            approximating formula (`oracle_shrinkage`).
        tukey: exponent on each feature's absolute value, its sign kept; 1 leaves it.
        drift: how the stored statistics follow the network: none, ridge, low_rank, learned or
            translation.
        prior: rows a feature that variances without covariance count for, in place of a shrinkage
            (`SharedCovariance`); 0 for none. It shrinks more, as many features beside each other want.

    Raises:
        ConfigError: for a negative prior, or one beside a shrinkage.

    Source: streaming LDA (Hayes and Kanan, 2020); drift as in LDC and DPCR; docs/theory.md, section 9
    """

    label = "gaussian"

    def __init__(
        self,
        on: Space = "features",
        shrinkage: float | None = None,
        tukey: float = 1.0,
        drift: DriftName = "ridge+noise",
        prior: float = 0.0,
    ):
        super().__init__(on, drift, "shared", tukey=tukey)
        if not 0 <= prior < math.inf or (prior and shrinkage is not None):
            raise ConfigError(
                f"gaussian takes a prior of at least 0 rows a feature, or a shrinkage, not prior={prior:g} "
                f"and shrinkage={shrinkage}."
            )
        self.shrinkage, self.prior = shrinkage, prior

    @property
    def spread(self) -> SharedCovariance:
        """The shrunk within-class covariance."""
        return SharedCovariance(self.shrinkage, prior=self.prior)

    def covariance(self, k: int = 0) -> Float[Tensor, "f f"]:
        """The shrunk within-class covariance, the same for every class."""
        return self.spread.matrix(self.known)

    def solve(self, statistics: Statistics) -> Linear:
        """Linear: the common -1/2 x.S^-1 x is left out."""
        return solve_gaussian(statistics, self.spread)

    def whitened(self, statistics: Statistics) -> SharedWhitening:
        """By the one covariance."""
        return SharedWhitening.of(statistics, self.spread)


def solve_gaussian(
    statistics: Statistics, covariance: SharedCovariance, classes: Int[Tensor, " c"] | None = None
) -> Linear:
    """Linear discriminants x.S^-1 m_k - 1/2 m_k.S^-1 m_k of some classes, about the mean of all rows."""
    centre = statistics.centre()
    gap = (statistics.mean if classes is None else statistics.mean[classes]) - centre
    if covariance.shrinkage == 1:
        weight = gap / covariance.full_shrunk(statistics)
    else:
        weight = solve_positive(covariance.matrix(statistics), gap.T).T
    return Linear(weight, -0.5 * (weight * gap).sum(1), centre)


READOUTS.add("stale-gaussian", partial(SharedGaussian, drift="none"))
