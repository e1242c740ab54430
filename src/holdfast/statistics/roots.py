"""Scatters kept as roots: the leading directions alone, or the triangular factor with nothing lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from holdfast.core.errors import ConfigError
from holdfast.statistics.deviations import EXACT, Scatter, check_eigenvalues, group_sums

NOTHING = 1e-14  # share of a factor's size below which a row of it is rounding


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

    def less(self, rows: Tensor, y: Tensor, slack: float = EXACT) -> LowRankScatter:
        """Refused (ConfigError): what was cut off cannot be taken back."""
        raise ConfigError(
            "structure=low_rank keeps leading directions only, so rows cannot be taken out of a class: "
            "remove the class as a whole, or keep full, factor or diagonal."
        )

    def grouped(self, places: Sequence[int], classes: int) -> LowRankScatter:
        """Classes alone in their group keep their directions; joined ones are cut to r again."""
        root = self.root.new_zeros(classes, *self.root.shape[1:])
        tail = group_sums(self.tail, places, classes)
        for g in set(places) - {-1}:
            inside = [k for k, place in enumerate(places) if place == g]
            joined = self.root[inside].flatten(0, 1)
            root[g], tail[g] = self._cut(joined, tail[g]) if len(inside) > 1 else (joined, tail[g])
        return LowRankScatter(root, tail)

    def moved(self, a: Tensor) -> LowRankScatter:
        """L_k A, and the tail by the mean square of A's stretch."""
        return LowRankScatter(self.root @ a, self.tail * (a**2).sum((-2, -1)) / a.shape[-1])

    def widened(self, count: Tensor, noise: Tensor) -> LowRankScatter:
        """S_k + n_k N, cut to r directions again."""
        return self.plus(self._of_noise(count, noise))

    def _of_noise(self, count: Tensor, noise: Tensor) -> LowRankScatter:
        """n_k N alone, its leading directions."""
        root, tail = self._cut(symmetric_root(noise), self.tail.new_zeros(()))
        return LowRankScatter(count.sqrt()[:, None, None] * root, count * tail)

    def matrix(self, k: int) -> Tensor:
        """L_k^T L_k + t_k I."""
        eye = torch.eye(self.root.shape[2]).to(self.root)
        return self.root[k].T @ self.root[k] + self.tail[k] * eye

    def pooled(self) -> Tensor:
        """Their sum."""
        flat, eye = self.root.flatten(0, 1), torch.eye(self.root.shape[2]).to(self.root)
        return flat.T @ flat + self.tail.sum() * eye


@dataclass(frozen=True)
class FactorScatter(Scatter):
    """S_k = R_k^T R_k with R_k (min(n_k, f), f) upper triangular: as exact as the full matrix.

    Rows of R_k that are zero are not kept. It costs K min(n, f) f numbers, which for a few rows a
    class is far less than K f^2, and lets a class be taken out, weighed or merged exactly. Of one
    row nothing is kept; with two or more, R_k and the mean tell the rows up to a rotation.

    Attributes:
        factor: all R_k, one below the other.
        sizes: rows of each R_k.

    Source: Chan, Golub, LeVeque, 1983, by a QR update (Golub and Van Loan, *Matrix computations*, 6.5)
    """

    factor: Float[Tensor, "r f"]
    sizes: Int[Tensor, " k"]

    @property
    def pieces(self) -> list[Tensor]:
        """R_k of every class."""
        return list(self.factor.split(self.sizes.tolist()))

    def _with(self, pieces: Sequence[Tensor]) -> FactorScatter:
        """Of these factors."""
        sizes = self.sizes.new_tensor([len(piece) for piece in pieces])
        return FactorScatter(torch.cat([self.factor[:0], *pieces]), sizes)

    def of(self, rows: Tensor, y: Tensor, classes: int) -> FactorScatter:
        """The factor of each class's rows."""
        pieces = [rows[:0]] * classes
        for k in y.unique().tolist():
            pieces[k] = triangular(rows[y == k])
        return self._with(pieces)

    def plus(self, other: Scatter) -> FactorScatter:
        """The factor of both, one below the other."""
        assert isinstance(other, FactorScatter)
        mine, pieces = self.pieces, other.pieces
        return self._with([_below([*mine[k : k + 1], piece]) for k, piece in enumerate(pieces)])

    def less(self, rows: Tensor, y: Tensor, slack: float = EXACT) -> FactorScatter:
        """By the eigenvalues of U^T U - (X B)^T X B, B an orthonormal basis of the rows of R_k."""
        pieces = self.pieces
        for k in y.unique().tolist():
            pieces[k] = downdated(pieces[k], rows[y == k], slack)
        return self._with(pieces)

    def grouped(self, places: Sequence[int], classes: int) -> FactorScatter:
        """The factors of each group, one below the other."""
        groups: list[list[Tensor]] = [[] for _ in range(classes)]
        for place, piece in zip(places, self.pieces, strict=True):
            if place >= 0:
                groups[place].append(piece)
        return self._with([_below(group or [self.factor[:0]]) for group in groups])

    def moved(self, a: Tensor) -> FactorScatter:
        """The factor of R_k A."""
        each = a.expand(len(self.sizes), *a.shape[-2:])
        return self._with([triangular(piece @ b) for piece, b in zip(self.pieces, each)])

    def widened(self, count: Tensor, noise: Tensor) -> FactorScatter:
        """The factor of R_k and the root of n_k N; every class that has rows then has f of them."""
        root = triangular(symmetric_root(noise))
        sizes = count.sqrt().tolist()
        pieces = zip(self.pieces, sizes, strict=True)
        return self._with([_below([piece, n * root] if n else [piece]) for piece, n in pieces])

    def matrix(self, k: int) -> Tensor:
        """R_k^T R_k."""
        return self.pieces[k].T @ self.pieces[k]

    def pooled(self) -> Tensor:
        """Their sum."""
        return self.factor.T @ self.factor


def _below(pieces: Sequence[Tensor]) -> Tensor:
    """The factor of those that have a row; one alone stays as it is."""
    filled = [piece for piece in pieces if len(piece)] or [pieces[0][:0]]
    return filled[0] if len(filled) == 1 else triangular(torch.cat(filled))


def triangular(rows: Float[Tensor, "n f"]) -> Float[Tensor, "r f"]:
    """R with R^T R = X^T X, upper triangular, its diagonal not negative, without rows of zeros.

    >>> triangular(torch.tensor([[3.0, 1.0], [4.0, 2.0]], dtype=torch.float64))
    tensor([[5.0000, 2.2000],
            [0.0000, 0.4000]], dtype=torch.float64)
    """
    if not len(rows):
        return rows
    factor = torch.linalg.qr(rows, mode="r")[1]
    size = factor.norm(dim=1)
    factor = factor[size > NOTHING * factor.norm()]
    sign = factor.diagonal().sign()
    return factor * torch.where(sign < 0, sign, 1.0)[:, None]


def downdated(
    factor: Float[Tensor, "r f"], rows: Float[Tensor, "n f"], slack: float
) -> Float[Tensor, "m f"]:
    """The factor of R^T R - X^T X.

    Raises:
        DataError: for rows that are not in it.
    """
    trace = float((factor**2).sum())
    basis, upper = torch.linalg.qr(factor.T)
    inside = rows @ basis
    outside = float(((rows - inside @ basis.T) ** 2).sum())
    values, vectors = torch.linalg.eigh(upper @ upper.T - inside.T @ inside)
    check_eigenvalues(torch.cat([values, values.new_tensor([-outside])]), trace, slack)
    kept = values > NOTHING * trace
    return triangular((values[kept].sqrt() * vectors[:, kept]).T @ basis.T)


def symmetric_root(covariance: Float[Tensor, "f f"]) -> Float[Tensor, "f f"]:
    """R with R^T R = N, for a covariance N; what rounding brought below zero is zero.

    >>> symmetric_root(torch.tensor([[4.0, 0.0], [0.0, 9.0]])).abs()
    tensor([[2., 0.],
            [0., 3.]])
    """
    values, vectors = torch.linalg.eigh(covariance)
    return values.clamp_min(0).sqrt()[:, None] * vectors.T
