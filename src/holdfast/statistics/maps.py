"""Maps of features, and how each of them carries the statistics of rows that nobody kept.

Means, scatters and Gram matrices go through one map together: A = S + n m^T m, the Gram matrix about 0,
of the moved statistics is that of the moved rows (docs/theory.md, section 9).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from holdfast.core.errors import ConfigError
from holdfast.statistics.deviations import Scatter

if TYPE_CHECKING:
    from holdfast.statistics.class_statistics import Statistics

Moved = tuple[Float[Tensor, "k f"], Scatter]  # means and scatter of statistics


class Drift(ABC):
    """How rows of a former network look to the present one.

    Attributes:
        residual: share of the movement's square that a held-out fifth of the inputs leaves unexplained;
            None if nothing moved, or with too few inputs.
        forecast: share of the movement of classes left out that the map of the other classes leaves
            (`class_forecast`); None where nothing could be left out.
        noise: (f, f) covariance of what rows of one class did beside the map (`left_within`); None
            leaves it out.
    """

    residual: float | None
    forecast: float | None
    noise: Tensor | None

    @property
    def matrix(self) -> Float[Tensor, "f f"] | None:
        """By which all deviations from a mean move, r -> r M; None where there is no such one."""
        return None

    @abstractmethod
    def __call__(self, x: Float[Tensor, "n f"]) -> Float[Tensor, "n f"]:
        """Move points."""

    @abstractmethod
    def carry(self, statistics: Statistics) -> Moved:
        """Means and scatter after the rows moved."""

    def widened(self, scatter: Scatter, count: Float[Tensor, " k"]) -> Scatter:
        """A carried scatter of so many rows a class, with the noise of each row."""
        if self.noise is None:
            return scatter
        return scatter.widened(count.to(self.noise), self.noise)

    @abstractmethod
    def slowed(self, share: float) -> Drift:
        """The same with this share of every movement."""


@dataclass(frozen=True)
class DriftMap(Drift):
    """x -> x + (x - centre) B + shift.

    Attributes:
        linear: (f, f) B.
        centre: (f,) mean past feature of the inputs it was fitted on.
        shift: (f,) their mean movement.
        residual: as of `Drift`.
        forecast: as of `Drift`.
        noise: as of `Drift`.
    """

    linear: Float[Tensor, "f f"]
    centre: Float[Tensor, " f"]
    shift: Float[Tensor, " f"]
    residual: float | None = None
    forecast: float | None = None
    noise: Tensor | None = None

    @property
    def matrix(self) -> Float[Tensor, "f f"]:
        """I + B, by which deviations from a mean move: r -> r (I + B)."""
        return torch.eye(len(self.linear)).to(self.linear) + self.linear

    def __call__(self, x: Float[Tensor, "n f"]) -> Float[Tensor, "n f"]:
        """Move points."""
        return x + (x - self.centre) @ self.linear + self.shift

    def carry(self, statistics: Statistics) -> Moved:
        """Means through the map, scatters through I + B: exact."""
        return self(statistics.mean), statistics.scatter.moved(self.matrix)

    def slowed(self, share: float) -> DriftMap:
        """Share times B and the shift."""
        return replace(self, linear=share * self.linear, shift=share * self.shift)


@dataclass(frozen=True)
class Translation(Drift):
    """x -> x + sum_i w_i(x) moved_i: each point by the mean movement of the inputs around it.

    w_i ~ exp(-||x - past_i||^2 / (2 width^2)), summing to 1. Deviations from a mean do not move.

    Attributes:
        past: (n, f) past features.
        movement: (n, f) of each.
        width: in units of the features.
        residual: as of `Drift`.
        forecast: as of `Drift`.
        noise: as of `Drift`.

    Source: Yu et al., *Semantic drift compensation*, CVPR 2020
    """

    past: Float[Tensor, "n f"]
    movement: Float[Tensor, "n f"]
    width: float
    residual: float | None = None
    forecast: float | None = None
    noise: Tensor | None = None

    def __call__(self, x: Float[Tensor, "m f"]) -> Float[Tensor, "m f"]:
        """Move points."""
        distance = torch.cdist(x, self.past) ** 2
        return x + torch.softmax(-distance / (2 * self.width**2), 1) @ self.movement

    def carry(self, statistics: Statistics) -> Moved:
        """Means alone."""
        return self(statistics.mean), statistics.scatter

    def slowed(self, share: float) -> Translation:
        """Share times every movement."""
        return replace(self, movement=share * self.movement)


@dataclass(frozen=True)
class RowSpaceMap(Drift):
    """A linear map, after which each class is cut to the row space that it had: x -> map(x) Pi_k.

    Pi_k = U U^T, U the eigenvectors of A_k = S_k + n_k m_k^T m_k with the largest eigenvalues that hold
    the share ``energy`` of its trace, and none that is rounding. Before the map the cut would do
    nothing to the class's own rows. With the share 1, the map is that of ``of`` on rows that fill
    the space.

    Attributes:
        of: the map itself.
        energy: share of the trace, above 0, at most 1.
        residual: as of `Drift`: that of the map.
        forecast: as of `Drift`: that of the map.
        noise: as of `Drift`.

    Source: DPCR (ICML 2025), with a share in place of its test for exact zeros; docs/theory.md, section 9
    """

    of: DriftMap
    energy: float
    residual: float | None = None
    forecast: float | None = None
    noise: Tensor | None = None

    def __call__(self, x: Float[Tensor, "n f"]) -> Float[Tensor, "n f"]:
        """Move points, of no class in particular: by the map alone."""
        return self.of(x)

    def carry(self, statistics: Statistics) -> Moved:
        """Each class by its own matrix (ConfigError without a scatter a class)."""
        if not statistics.scatter.by_class or not statistics.scatter.tensors():
            raise ConfigError("a cut to row spaces needs a scatter a class: use structure=full.")
        cuts = torch.stack([self._cut(statistics, k) for k in range(len(statistics.count))])
        mean = (self.of(statistics.mean)[:, None] @ cuts)[:, 0]
        return mean, statistics.scatter.moved(self.of.matrix @ cuts)

    def _cut(self, statistics: Statistics, k: int) -> Float[Tensor, "f f"]:
        """Pi_k; the identity for a class without rows."""
        mean = statistics.mean[k]
        gram = statistics.scatter.matrix(k) + statistics.count[k] * mean[:, None] * mean
        values, vectors = torch.linalg.eigh(gram)
        values, vectors = values.flip(0).clamp_min(0), vectors.flip(1)
        if not float(values[0]):
            return torch.eye(len(mean)).to(mean)
        real = values > len(mean) * torch.finfo(values.dtype).eps * values[0]
        before = values.cumsum(0) - values  # the trace that the directions before it hold
        kept = vectors[:, real & (before < self.energy * values.sum())]
        return kept @ kept.T

    def slowed(self, share: float) -> RowSpaceMap:
        """The cut after a share of the movement."""
        return replace(self, of=self.of.slowed(share))
