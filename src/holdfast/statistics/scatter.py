"""Scatter: sums of squared deviations from class means, kept in 0 to K f^2 numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from holdfast.core.errors import ConfigError
from holdfast.statistics.deviations import (
    EXACT,
    Scatter,
    check_eigenvalues,
    group_sums,
    not_below_zero,
    padded,
)


@dataclass(frozen=True)
class NoScatter(Scatter):
    """Nothing is kept: class means alone."""

    def of(self, rows: Tensor, y: Tensor, classes: int) -> NoScatter:
        """Nothing."""
        return self

    def plus(self, other: Scatter) -> NoScatter:
        """Nothing."""
        return self

    def less(self, rows: Tensor, y: Tensor, slack: float = EXACT) -> NoScatter:
        """Nothing."""
        return self

    def grouped(self, places: Sequence[int], classes: int) -> NoScatter:
        """Nothing."""
        return self

    def moved(self, a: Tensor) -> NoScatter:
        """Nothing."""
        return self

    def widened(self, count: Tensor, noise: Tensor) -> NoScatter:
        """Nothing."""
        return self

    def matrix(self, k: int) -> Tensor:
        """Refused (ConfigError)."""
        raise ConfigError(
            'structure="none" keeps no scatter: use shared, full, diagonal, low_rank.'
        )

    def pooled(self) -> Tensor:
        """Refused (ConfigError)."""
        return self.matrix(0)


@dataclass(frozen=True)
class SharedScatter(Scatter):
    """One (f, f) matrix, the sum over all classes: f^2 numbers, however many classes there are."""

    shared: Float[Tensor, "f f"]
    by_class: ClassVar[bool] = False

    def of(self, rows: Tensor, y: Tensor, classes: int) -> SharedScatter:
        """X^T X."""
        return SharedScatter(rows.T @ rows)

    def plus(self, other: Scatter) -> SharedScatter:
        """The sum."""
        assert isinstance(other, SharedScatter)
        return SharedScatter(self.shared + other.shared)

    def less(self, rows: Tensor, y: Tensor, slack: float = EXACT) -> SharedScatter:
        """S - X^T X."""
        trace = float(self.shared.trace())
        return SharedScatter(not_below_zero(self.shared - rows.T @ rows, trace, slack))

    def grouped(self, places: Sequence[int], classes: int) -> SharedScatter:
        """The same: it knows no class."""
        return self

    def moved(self, a: Tensor) -> SharedScatter:
        """A^T S A."""
        return SharedScatter(a.T @ self.shared @ a)

    def widened(self, count: Tensor, noise: Tensor) -> SharedScatter:
        """S + n N, n all rows."""
        return SharedScatter(self.shared + count.sum() * noise)

    def matrix(self, k: int) -> Tensor:
        """Refused (ConfigError): it cannot be told apart by class."""
        raise ConfigError('structure="shared" keeps one scatter for all classes: use full.')

    def pooled(self) -> Tensor:
        """S."""
        return self.shared


@dataclass(frozen=True)
class FullScatter(Scatter):
    """(K, f, f): f^2 numbers a class."""

    full: Float[Tensor, "k f f"]

    def of(self, rows: Tensor, y: Tensor, classes: int) -> FullScatter:
        """X_k^T X_k of each class."""
        f = rows.shape[1]
        full = rows.new_zeros(classes, f, f)
        for k in y.unique().tolist():
            full[k] = rows[y == k].T @ rows[y == k]
        return FullScatter(full)

    def plus(self, other: Scatter) -> FullScatter:
        """The sum."""
        assert isinstance(other, FullScatter)
        return FullScatter(padded(self.full, len(other.full)) + other.full)

    def less(self, rows: Tensor, y: Tensor, slack: float = EXACT) -> FullScatter:
        """S_k - X_k^T X_k."""
        full = self.full.clone()
        for k in y.unique().tolist():
            mine = rows[y == k]
            full[k] = not_below_zero(full[k] - mine.T @ mine, float(full[k].trace()), slack)
        return FullScatter(full)

    def grouped(self, places: Sequence[int], classes: int) -> FullScatter:
        """Sums of matrices."""
        return FullScatter(group_sums(self.full, places, classes))

    def moved(self, a: Tensor) -> FullScatter:
        """A^T S_k A."""
        return FullScatter(a.mT @ self.full @ a)

    def widened(self, count: Tensor, noise: Tensor) -> FullScatter:
        """S_k + n_k N."""
        return FullScatter(self.full + count[:, None, None] * noise)

    def matrix(self, k: int) -> Tensor:
        """S_k."""
        return self.full[k]

    def pooled(self) -> Tensor:
        """Their sum."""
        return self.full.sum(0)


@dataclass(frozen=True)
class DiagonalScatter(Scatter):
    """(K, f): the diagonals alone, f numbers a class."""

    diagonal: Float[Tensor, "k f"]

    def of(self, rows: Tensor, y: Tensor, classes: int) -> DiagonalScatter:
        """Sums of squares of each class."""
        return DiagonalScatter(rows.new_zeros(classes, rows.shape[1]).index_add(0, y, rows**2))

    def plus(self, other: Scatter) -> DiagonalScatter:
        """The sum."""
        assert isinstance(other, DiagonalScatter)
        return DiagonalScatter(padded(self.diagonal, len(other.diagonal)) + other.diagonal)

    def less(self, rows: Tensor, y: Tensor, slack: float = EXACT) -> DiagonalScatter:
        """Less sums of squares."""
        rest = self.diagonal.index_add(0, y, -(rows**2))
        for values, before in zip(rest, self.diagonal):
            check_eigenvalues(values, float(before.sum()), slack)
        return DiagonalScatter(rest.clamp_min(0))

    def grouped(self, places: Sequence[int], classes: int) -> DiagonalScatter:
        """Sums of diagonals."""
        return DiagonalScatter(group_sums(self.diagonal, places, classes))

    def moved(self, a: Tensor) -> DiagonalScatter:
        """The diagonal of A^T diag(s_k) A."""
        return DiagonalScatter(self.diagonal @ a**2)

    def widened(self, count: Tensor, noise: Tensor) -> DiagonalScatter:
        """s_k + n_k diag N."""
        return DiagonalScatter(self.diagonal + count[:, None] * noise.diagonal())

    def matrix(self, k: int) -> Tensor:
        """diag(s_k)."""
        return self.diagonal[k].diag()

    def pooled(self) -> Tensor:
        """Their sum."""
        return self.diagonal.sum(0).diag()
