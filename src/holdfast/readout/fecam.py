"""FeCAM as its authors' code has it, for a network that stands still after its first task."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from holdfast.loss.checks import require_option
from holdfast.readout.class_gaussian import ClassGaussian
from holdfast.readout.decision import (
    ClassWhitening,
    Decision,
    MinusLargest,
    Quadratic,
    UnitRows,
    Whitening,
)
from holdfast.readout.gaussian import Tukey
from holdfast.readout.readout import Space, register
from holdfast.statistics.class_statistics import Statistics
from holdfast.statistics.covariance import ClassCovariance, draw_rows
from holdfast.statistics.roots import LowRankScatter
from holdfast.statistics.scatter import FullScatter
from holdfast.statistics.tail import TailLowRankScatter, TailScatter
from holdfast.statistics.tracker import Tracker


class WithPower(nn.Module):
    """Rows, and beside them their Tukey power: (N, f) to (N, 2 f)."""

    def __init__(self, power: float):
        super().__init__()
        self.tukey = Tukey(power)

    def forward(self, x: Tensor) -> Tensor:
        """[x, sign(x) |x|^power]."""
        return torch.cat([x, self.tukey(x)], 1)


class UnitTail(nn.Module):
    """The second half of the columns at length 1."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, 2 f) to (N, f)."""
        return functional.normalize(x[:, x.shape[1] // 2 :], dim=1)


class Twice(nn.Module):
    """Two of everything."""

    def forward(self, x: Tensor) -> Tensor:
        """2 x."""
        return 2 * x


@dataclass(frozen=True)
class UnitWhitening(Whitening):
    """Distances among unit rows of the power.

    Attributes:
        of: between unit rows and the unit power of each class's mean.
    """

    of: ClassWhitening

    def squared(self, x: Tensor) -> Tensor:
        """(N, K) of rows [x, power]."""
        return self.of.squared(UnitTail()(x))


@dataclass(frozen=True)
class UnitQuadratic(Decision):
    """-1/2 squared distance of unit rows.

    Attributes:
        of: the same of rows that are ready.
    """

    of: Quadratic

    def __call__(self, x: Tensor) -> Tensor:
        """-inf for a class not met."""
        return self.of(UnitTail()(x))

    def network(self) -> nn.Module:
        """After the rows are brought to length 1."""
        return nn.Sequential(UnitTail(), self.of.network())


@register("fecam")
class FeCAM(ClassGaussian):
    """argmin_k of a Mahalanobis distance between unit rows, as published: for frozen networks.

    u(x) = x^tukey at length 1, signs kept; the distance of u(x) to u(m_k), m_k the mean of the plain
    rows, by the
    covariance of x^tukey in class k, shrunk *twice* (the shares are of the matrix shrunk once) and then
    scaled
    to a correlation. No class is pooled with others and no drift is followed: in the public code the
    network
    stands still after its first task, on which alone it decides by the nearest mean in place of this.
    Where a
    network moves, `class-correlation` is made for it. Stored are K (1 + 2 f + f^2) + 202 numbers; with the
    structure low_rank, r f + 1 in place of f^2. A diagonal one would leave nothing: correlations
    would be the identity.

    A state of earlier versions, where this name meant `class-correlation`, stays what it was.

    Args:
        on: ``features``, ``hidden`` or ``embedding``.
        gamma1: shrinkage of the diagonal, each time.
        gamma2: shrinkage of the rest, each time; at most gamma1.
        tukey: exponent on each feature's absolute value, its sign kept.
        structure: of the stored scatters: full, as published, or low_rank.
        rank: of low_rank.

    Raises:
        ConfigError: for a negative shrinkage, gamma2 above gamma1, a power that is not positive, or
            another structure.

    Source: Goswami et al., *FeCAM*, NeurIPS 2023, by its public code; docs/theory.md, section 9
    """

    label = "fecam"

    def __init__(
        self,
        on: Space = "features",
        gamma1: float = 1.0,
        gamma2: float = 1.0,
        tukey: float = 0.5,
        structure: Literal["full", "low_rank"] = "full",
        rank: int = 8,
    ):
        require_option("structure", structure, ("full", "low_rank"))
        super().__init__(
            on, gamma1, gamma2, normalise=True, determinant=False, tukey=tukey, drift="none",
            structure=structure, rank=rank,
        )  # fmt: skip
        self.older = False
        kept = "tail" if structure == "full" else "tail_low_rank"
        self._track("none", kept, replace(self.measure, pool=0.0, twice=True))

    def _track(self, drift: str, structure: str, measure: ClassCovariance) -> None:
        self.tracker, self.measure = Tracker(drift, structure, self.rank), measure
        self.residuals, self.forecasts = self.tracker.residuals, self.tracker.forecasts
        self.needs_past, self.pool = self.tracker.follows, measure.pool

    def representation(self, width: int) -> nn.Module:
        """Rows and their power."""
        return super().representation(width) if self.older else WithPower(self.tukey)

    def covariance(self, k: int) -> Float[Tensor, "f f"]:
        """The correlation of class k."""
        return self.measure.matrix(self._ready(self.known), k)

    def draw(self, each: int, seed: int = 0) -> tuple[Float[Tensor, "n f"], Int[Tensor, " n"]]:
        """Draws of the rows' power, in its own units, about its mean."""
        known = self.known
        f = known.mean.shape[1] // 2
        ready = known if self.older else replace(self._ready(known), mean=known.mean[:, f:])
        return draw_rows(ready, replace(self.measure, normalise=False), each, seed)

    def _ready(self, statistics: Statistics) -> Statistics:
        """Of unit rows: the unit power of the means, and the scatter of the power."""
        if self.older:
            return statistics
        scatter = statistics.scatter
        mean = statistics.mean[:, : statistics.mean.shape[1] // 2]
        unit = UnitRows()(Tukey(self.tukey)(mean))
        if isinstance(scatter, TailLowRankScatter):
            return Statistics(statistics.count, unit, LowRankScatter(scatter.root, scatter.tail))
        assert isinstance(scatter, TailScatter)
        return Statistics(statistics.count, unit, FullScatter(scatter.full))

    def whitened(self, statistics: Statistics) -> Whitening:  # type: ignore[override]
        """By a correlation of each class."""
        whitening = ClassWhitening.of(self._ready(statistics), self.measure)
        return whitening if self.older else UnitWhitening(whitening)

    def solve(self, statistics: Statistics) -> Decision:
        """-1/2 squared distance."""
        if self.older:
            return super().solve(statistics)
        whitening = self._distances(statistics)
        assert isinstance(whitening, UnitWhitening)
        return UnitQuadratic(Quadratic(whitening.of, False))

    def strange_network(self) -> nn.Module | None:
        """The squared distance to the nearest class; None if an export makes it."""
        if self.older:
            return None
        return nn.Sequential(MinusLargest(self.decision.network(), self.known.met), Twice())

    def set_extra_state(self, state: dict[str, Tensor]) -> None:
        """Take over what was learned, in the way in which it was."""
        if state and "full" in state and state["mean"].shape[1] == state["full"].shape[2]:
            self.older = True
            self._track("ridge", "full", replace(self.measure, pool=10.0, twice=False))
        super().set_extra_state(state)
