"""Scatters of the last columns of rows, of which all have a mean: those of lifted rows alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from holdfast.core.errors import ConfigError
from holdfast.statistics.deviations import EXACT, Scatter
from holdfast.statistics.roots import LowRankScatter
from holdfast.statistics.scatter import FullScatter


@dataclass(frozen=True)
class TailScatter(FullScatter):
    """(K, f, f) of the last f columns of rows, of which all have a mean."""

    def _cut(self, rows: Tensor) -> Tensor:
        return rows[:, rows.shape[1] - self.full.shape[2] :]

    def of(self, rows: Tensor, y: Tensor, classes: int) -> TailScatter:
        """X_k^T X_k of each class."""
        return TailScatter(super().of(self._cut(rows), y, classes).full)

    def plus(self, other: Scatter) -> TailScatter:
        """The sum."""
        return TailScatter(super().plus(other).full)

    def less(self, rows: Tensor, y: Tensor, slack: float = EXACT) -> TailScatter:
        """S_k - X_k^T X_k."""
        return TailScatter(super().less(self._cut(rows), y, slack).full)

    def grouped(self, places: Sequence[int], classes: int) -> TailScatter:
        """Sums of matrices."""
        return TailScatter(super().grouped(places, classes).full)

    def moved(self, a: Tensor) -> TailScatter:
        """Refused (ConfigError): a map of all columns mixes them with those that have no scatter."""
        raise ConfigError(
            "structure=tail keeps the scatter of some columns, which no map can move."
        )

    def widened(self, count: Tensor, noise: Tensor) -> TailScatter:
        """S_k + n_k N, N of the columns that have a scatter."""
        cut = len(noise) - self.full.shape[2]
        return TailScatter(super().widened(count, noise[cut:, cut:]).full)


@dataclass(frozen=True)
class TailLowRankScatter(LowRankScatter):
    """`LowRankScatter` of the last f columns of rows, of which all have a mean."""

    def _with(self, of: LowRankScatter) -> TailLowRankScatter:
        return TailLowRankScatter(of.root, of.tail)

    def of(self, rows: Tensor, y: Tensor, classes: int) -> TailLowRankScatter:
        """Leading directions of each class."""
        last = rows[:, rows.shape[1] - self.root.shape[2] :]
        return self._with(super().of(last, y, classes))

    def plus(self, other: Scatter) -> TailLowRankScatter:
        """The sum, cut to r directions again."""
        return self._with(super().plus(other))

    def grouped(self, places: Sequence[int], classes: int) -> TailLowRankScatter:
        """Groups of classes."""
        return self._with(super().grouped(places, classes))

    def moved(self, a: Tensor) -> TailLowRankScatter:
        """Refused (ConfigError): a map of all columns mixes them with those that have no scatter."""
        raise ConfigError("a scatter of some columns cannot be moved by a map of all of them.")

    def _of_noise(self, count: Tensor, noise: Tensor) -> TailLowRankScatter:
        """Of the columns that have a scatter."""
        cut = len(noise) - self.root.shape[2]
        return self._with(super()._of_noise(count, noise[cut:, cut:]))
