"""Scatter: sums of squared deviations from class means, in structures of 0 to K f^2 numbers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from holdfast.errors import ConfigError, unknown

Structure = Literal["none", "shared", "full", "diagonal", "low_rank"]


class Scatter(ABC):
    """For each class k the matrix S_k = sum_i r_i r_i^T of its deviations r_i, or less of it."""

    @abstractmethod
    def of(self, rows: Float[Tensor, "n f"], y: Int[Tensor, " n"], classes: int) -> Scatter:
        """The scatter of deviations alone, in the same structure."""

    @abstractmethod
    def plus(self, other: Scatter) -> Scatter:
        """The sum with one of at least as many classes."""

    @abstractmethod
    def moved(self, a: Float[Tensor, "f f"]) -> Scatter:
        """A^T S_k A: the scatter after rows moved by r -> r A."""

    @abstractmethod
    def matrix(self, k: int) -> Float[Tensor, "f f"]:
        """S_k written out."""

    @abstractmethod
    def pooled(self) -> Float[Tensor, "f f"]:
        """sum_k S_k written out."""

    def tensors(self) -> dict[str, Tensor]:
        """What is kept, by name."""
        return dict(vars(self))


@dataclass(frozen=True)
class NoScatter(Scatter):
    """Nothing is kept: class means alone."""

    def of(self, rows: Tensor, y: Tensor, classes: int) -> NoScatter:
        """Nothing."""
        return self

    def plus(self, other: Scatter) -> NoScatter:
        """Nothing."""
        return self

    def moved(self, a: Tensor) -> NoScatter:
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

    def of(self, rows: Tensor, y: Tensor, classes: int) -> SharedScatter:
        """X^T X."""
        return SharedScatter(rows.T @ rows)

    def plus(self, other: Scatter) -> SharedScatter:
        """The sum."""
        assert isinstance(other, SharedScatter)
        return SharedScatter(self.shared + other.shared)

    def moved(self, a: Tensor) -> SharedScatter:
        """A^T S A."""
        return SharedScatter(a.T @ self.shared @ a)

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

    def moved(self, a: Tensor) -> FullScatter:
        """A^T S_k A."""
        return FullScatter(a.T @ self.full @ a)

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

    def moved(self, a: Tensor) -> DiagonalScatter:
        """The diagonal of A^T diag(s_k) A."""
        return DiagonalScatter(self.diagonal @ a**2)

    def matrix(self, k: int) -> Tensor:
        """diag(s_k)."""
        return self.diagonal[k].diag()

    def pooled(self) -> Tensor:
        """Their sum."""
        return self.diagonal.sum(0).diag()


@dataclass(frozen=True)
class LowRankScatter(Scatter):
    """S_k = L_k^T L_k + t_k I with L_k (r, f): r f + 1 numbers a class.

    The r leading directions keep their sums of squares; what is left is spread evenly over the
    others, so that the trace stays (Tipping and Bishop, *Probabilistic principal component
    analysis*, 1999).
    """

    root: Float[Tensor, "k r f"]
    tail: Float[Tensor, " k"]

    def of(self, rows: Tensor, y: Tensor, classes: int) -> LowRankScatter:
        """Leading directions of each class."""
        r, f = self.root.shape[1], rows.shape[1]
        root, tail = rows.new_zeros(classes, r, f), rows.new_zeros(classes)
        for k in y.unique().tolist():
            root[k], tail[k] = self._cut(rows[y == k], tail[k])
        return LowRankScatter(root, tail)

    def plus(self, other: Scatter) -> LowRankScatter:
        """The sum, cut to r directions again."""
        assert isinstance(other, LowRankScatter)
        root, tail = other.root.clone(), other.tail.clone()
        for k in range(len(self.root)):
            root[k], tail[k] = self._cut(torch.cat([self.root[k], root[k]]), self.tail[k] + tail[k])
        return LowRankScatter(root, tail)

    def _cut(self, rows: Tensor, tail: Tensor) -> tuple[Tensor, Tensor]:
        """Rows^T rows + tail I with r directions left."""
        r, f = self.root.shape[1], rows.shape[1]
        _, s, v = torch.linalg.svd(rows, full_matrices=False)
        spread = (s[r:] ** 2).sum() / max(f - r, 1)
        kept = ((s[:r] ** 2 - spread).clamp_min(0).sqrt())[:, None] * v[:r]
        return torch.cat([kept, kept.new_zeros(r - len(kept), f)]), tail + spread

    def moved(self, a: Tensor) -> LowRankScatter:
        """L_k A, and the tail by the mean square of A's stretch."""
        return LowRankScatter(self.root @ a, self.tail * (a**2).sum() / len(a))

    def matrix(self, k: int) -> Tensor:
        """L_k^T L_k + t_k I."""
        eye = torch.eye(self.root.shape[2]).to(self.root)
        return self.root[k].T @ self.root[k] + self.tail[k] * eye

    def pooled(self) -> Tensor:
        """Their sum."""
        flat, eye = self.root.flatten(0, 1), torch.eye(self.root.shape[2]).to(self.root)
        return flat.T @ flat + self.tail.sum() * eye


def padded(x: Float[Tensor, "o ..."], classes: int) -> Float[Tensor, "k ..."]:
    """Zeros for classes that are new."""
    return torch.cat([x, x.new_zeros(classes - len(x), *x.shape[1:])])


def scatter(structure: str, width: int, rank: int, like: Tensor) -> Scatter:
    """An empty scatter of a structure by name.

    Raises:
        ConfigError: for an unknown structure, or a rank below 1 where one is needed.
    """
    if structure == "low_rank" and rank < 1:
        raise ConfigError(f"structure=low_rank needs a rank of at least 1, not {rank}.")
    made = {
        "none": lambda: NoScatter(),
        "shared": lambda: SharedScatter(like.new_zeros(width, width)),
        "full": lambda: FullScatter(like.new_zeros(0, width, width)),
        "diagonal": lambda: DiagonalScatter(like.new_zeros(0, width)),
        "low_rank": lambda: LowRankScatter(like.new_zeros(0, rank, width), like.new_zeros(0)),
    }
    if structure not in made:
        raise unknown("structure", structure, made)
    return made[structure]()
