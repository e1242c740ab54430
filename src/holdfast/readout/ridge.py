"""Ridge regression of one-hot targets from accumulated Gram statistics: exact, without images."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from holdfast.core.errors import ConfigError
from holdfast.core.numerics import solve_positive
from holdfast.readout.decision import Linear
from holdfast.readout.held_out import HeldOut
from holdfast.readout.lift import RandomFeatures, lift_width, random_features
from holdfast.readout.readout import READOUTS, Space, register
from holdfast.readout.streaming import Streaming
from holdfast.statistics.class_statistics import Statistics
from holdfast.statistics.drift import DriftName

RIDGES = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 0.3, 1.0, 3.0)
CAP = 10.0  # times at most that balance makes a row count for more
USUAL = 1e-2  # the strength where no row is at hand to choose it by


class Ridge(Streaming):
    """argmax_k of the ridge regression of one-hot targets on x, with an intercept.

    W = (G + strength tr(G)/f I)^-1 C, G the centred Gram matrix and C the centred products with the
    targets, both read off the counts, means and pooled scatter: K (1 + f) + f^2 numbers, and exactly
    the regression on all rows seen while the network stands still.

    Args:
        on: ``features``, ``hidden`` or ``embedding``.
        strength: relative to the mean of G's diagonal; None takes, at each task, that of `RIDGES` with
            which held-out rows of the task are best predicted.
        drift: how the stored statistics follow the network; a linear map moves G and C with the features.
        balance: whether every class counts the same, however many rows it has; its own scatter is
            then taken for the pooled one. No row counts more than 10 rows do on average.
        unit: whether the columns of W are brought to length 1, and there is no intercept.

    Attributes:
        chosen: the strength in use.

    Raises:
        ConfigError: for a negative strength.

    Source: ACIL (Zhuang et al., NeurIPS 2022); docs/theory.md, section 9
    """

    label = "ridge"

    def __init__(
        self,
        on: Space = "features",
        strength: float | None = None,
        drift: DriftName = "ridge+noise",
        balance: bool = False,
        unit: bool = False,
    ):
        super().__init__(on, drift, "shared")
        if strength is not None and not strength >= 0:
            raise ConfigError(f"the strength of a ridge must be at least 0, not {strength}.")
        self.strength, self.balance, self.unit = strength, balance, unit
        self.chosen = USUAL if strength is None else strength

    @property
    def choices(self) -> tuple[str, ...]:  # type: ignore[override]
        """The strength, unless it was set."""
        return ("strength",) if self.strength is None else ()

    def choose(self, heldout: HeldOut) -> None:
        """Choose the strength on the rows held out."""
        if self.strength is not None or not heldout.folds:
            return

        def error(strength: float) -> float:
            total = 0.0
            for fold in heldout.folds:
                decision = solve_ridge(fold.rest, strength, self.balance, cap=CAP)
                target = functional.one_hot(fold.y, len(fold.rest.count)).to(fold.x)
                total += float(((decision(fold.x) - target) ** 2).sum())
            return total

        self.chosen = min(RIDGES, key=error)

    def solve(self, statistics: Statistics) -> Linear:
        """(X - c) W^T + b."""
        return solve_ridge(statistics, self.chosen, self.balance, self.unit, CAP)

    def get_extra_state(self) -> dict[str, Tensor]:
        """Everything that was learned, as tensors by name."""
        state = super().get_extra_state()
        strength = torch.tensor(self.chosen, dtype=torch.float64)
        return state | {"strength": strength} if state else state

    def set_extra_state(self, state: dict[str, Tensor]) -> None:
        """Take over what was learned."""
        super().set_extra_state(state)
        if state:
            self.chosen = float(state["strength"])


@register("random-ridge")
class RandomFeatureRidge(Ridge):
    """Ridge regression on `RandomFeatures`: K (1 + M) + M^2 numbers for M features.

    Args:
        on: ``features``, ``hidden`` or ``embedding``.
        width: M; 0 takes `lift_width`.
        strength: as for `Ridge`.
        drift: as for `Ridge`; the map is fitted between random features.
        seed: of R.
        balance: as for `Ridge`.
        unit: as for `Ridge`.

    Raises:
        ConfigError: for a width below 1.

    Source: McDonnell et al., *RanPAC*, NeurIPS 2023
    """

    label = "random-ridge"

    def __init__(
        self,
        on: Space = "features",
        width: int = 0,
        strength: float | None = None,
        drift: DriftName = "ridge+noise",
        seed: int = 0,
        balance: bool = False,
        unit: bool = False,
    ):
        super().__init__(on, strength, drift, balance, unit)
        if width < 0:
            raise ConfigError(f"random features need a width of at least 1, not {width}.")
        self.width, self.seed = width, seed
        self._stored = 0  # M of a state: versions before had another default

    def representation(self, width: int) -> RandomFeatures:
        """relu(x R / sqrt f)."""
        return random_features(width, self._stored or self.width or lift_width(width), self.seed)

    @property
    def measured(self) -> int:
        """One fold of the new default: a solution of many features is dear."""
        return super().measured if self.width else 1

    def set_extra_state(self, state: dict[str, Tensor]) -> None:
        """Take over what was learned, in the width in which it was."""
        super().set_extra_state(state)
        self._stored = state["mean"].shape[1] if state else 0


READOUTS.add("ridge", Ridge)


@dataclass(frozen=True)
class Gram:
    """The normal equations of ridge regression, from which any strength is solved.

    Attributes:
        matrix: (f, f) centred Gram matrix a row.
        products: (f, K) of the rows with the one-hot targets.
        share: (K,) weight of each class.
        centre: (f,) weighted mean of the rows.
    """

    matrix: Float[Tensor, "f f"]
    products: Float[Tensor, "f k"]
    share: Float[Tensor, " k"]
    centre: Float[Tensor, " f"]

    @staticmethod
    def of(statistics: Statistics, balance: bool = False, cap: float = math.inf) -> Gram:
        """From statistics with pooled scatter; see `Ridge` for ``balance``, `balanced` for ``cap``."""
        plain = statistics.count / statistics.count.sum()
        share = balanced(statistics.count, cap) if balance else plain
        centre = share @ statistics.mean
        gap = statistics.mean - centre
        products = (gap * share[:, None]).T
        matrix = statistics.scatter.pooled() / statistics.count.sum() + products @ gap
        return Gram(matrix, products, share, centre)

    def solve(self, strength: float, classes: Int[Tensor, " c"] | None = None) -> Linear:
        """The regression of some classes, by all rows; None is every class."""
        products = self.products if classes is None else self.products[:, classes]
        share = self.share if classes is None else self.share[classes]
        scale = (strength * self.matrix.diagonal().mean()).clamp_min(1e-12)
        matrix = self.matrix.clone()
        matrix.diagonal().add_(scale)
        weight = solve_positive(matrix, products).T
        return Linear(weight, share, self.centre)


def balanced(count: Float[Tensor, " k"], cap: float = math.inf) -> Float[Tensor, " k"]:
    """(K,) weights of classes that sum to 1: alike, but no row counts more than ``cap`` rows do on average.

    A class of a few rows, told from noise by nothing, would else weigh as much as one of thousands.

    >>> balanced(torch.tensor([2.0, 38.0, 0.0]), cap=5).tolist()
    [0.3333333432674408, 0.6666666865348816, 0.0]
    """
    met = (count > 0).to(count)
    share = torch.minimum(met / met.sum(), cap * count / count.sum())
    return share / share.sum()


def unit_columns(regression: Linear) -> Linear:
    """A regression whose class columns have length 1, and without intercepts."""
    bias = torch.zeros_like(regression.bias)
    return Linear(functional.normalize(regression.weight), bias, regression.centre)


def solve_ridge(
    statistics: Statistics,
    strength: float,
    balance: bool = False,
    unit: bool = False,
    cap: float = math.inf,
) -> Linear:
    """The ridge regression of one-hot targets: (K, f) weights and (K,) intercepts about a centre.

    Args:
        statistics: with pooled scatter.
        strength: relative to the mean of the Gram matrix's diagonal.
        balance: see `Ridge`.
        unit: see `Ridge`.
        cap: see `balanced`.
    """
    regression = Gram.of(statistics, balance, cap).solve(strength)
    return unit_columns(regression) if unit else regression
