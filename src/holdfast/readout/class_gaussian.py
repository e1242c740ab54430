"""Classes as Gaussians from streaming statistics, each with a covariance of its own."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from jaxtyping import Float
from torch import Tensor

from holdfast.core.errors import ConfigError
from holdfast.readout.decision import ClassWhitening, Decision, Quadratic
from holdfast.readout.gaussian import Gaussian
from holdfast.readout.readout import READOUTS, Space, register
from holdfast.statistics.class_statistics import Statistics
from holdfast.statistics.covariance import ClassCovariance
from holdfast.statistics.drift import DriftName
from holdfast.statistics.kinds import ScatterKind


@register("class-gaussian")
class ClassGaussian(Gaussian):
    """Each class as a Gaussian of its own: argmax_k -1/2 (x - m_k).S_k^-1 (x - m_k), equal priors.

    S_k is that of `ClassCovariance`: pooled with the covariance of all classes, shrunk, and, if
    asked, scaled to a correlation. Stored are K (1 + f) + 202 numbers and the structure's: K f^2,
    K f, or K (r f + 1).

    Args:
        on: ``features``, ``hidden`` or ``embedding``.
        gamma1: shrinkage of the diagonal.
        gamma2: shrinkage of the rest, at most gamma1.
        normalise: whether covariances become correlations, as published.
        determinant: whether -1/2 log |S_k| counts, as in quadratic discriminant analysis.
        tukey: exponent on each feature's absolute value, its sign kept; 1 leaves it.
        pool: how many examples the mean covariance of all classes counts for.
        structure: the kind of the stored scatters: full, diagonal or low_rank.
        rank: of low_rank.
        drift: how the stored statistics follow the network.

    Raises:
        ConfigError: for a negative shrinkage, gamma2 above gamma1, or a structure that knows no classes.

    Source: Goswami et al., *FeCAM*, NeurIPS 2023; docs/theory.md, section 9
    """

    label = "class-gaussian"

    def __init__(
        self,
        on: Space = "features",
        gamma1: float = 0.1,
        gamma2: float = 0.0,
        normalise: bool = False,
        determinant: bool = True,
        tukey: float = 1.0,
        pool: float = 10.0,
        structure: ScatterKind = "full",
        rank: int = 8,
        drift: DriftName = "ridge",
    ):
        super().__init__(on, drift, structure, rank, tukey)
        if structure in ("none", "shared"):
            raise ConfigError(
                f"class-gaussian keeps a scatter a class: structure={structure} must be full, "
                "diagonal or low_rank."
            )
        self.measure = ClassCovariance(gamma1, gamma2, pool, normalise)
        self.gamma1, self.gamma2, self.pool = gamma1, gamma2, pool
        self.normalise, self.determinant = normalise, determinant

    @property
    def spread(self) -> ClassCovariance:
        """Pooled and shrunk, in the rows' own units."""
        return replace(self.measure, normalise=False)

    def covariance(self, k: int) -> Float[Tensor, "f f"]:
        """What distances to class k are measured by."""
        return self.measure.matrix(self.known, k)

    def whitened(self, statistics: Statistics) -> ClassWhitening:
        """By a covariance of each class."""
        return ClassWhitening.of(statistics, self.measure)

    def solve(self, statistics: Statistics) -> Decision:
        """-1/2 squared distance, and -1/2 log determinant if it counts."""
        whitening = self._distances(statistics)
        assert isinstance(whitening, ClassWhitening)
        return Quadratic(whitening, self.determinant)


READOUTS.add(
    "class-correlation",
    partial(ClassGaussian, gamma1=1.0, gamma2=1.0, normalise=True, determinant=False, tukey=0.5),
)
