"""What every scatter is: sums of squared deviations of classes, which add, move, regroup and shrink."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from holdfast.core.errors import DataError

LOG = logging.getLogger("holdfast.statistics")
EXACT = 1e-10  # share of a trace by which a difference may fall below zero from rounding
AGAIN = 1e-6  # the same, of rows that a network gave a second time in single precision


class Scatter(ABC):
    """For each class k the matrix S_k = sum_i r_i r_i^T of its deviations r_i, or less of it.

    Attributes:
        by_class: whether one class's share can be taken out without its rows.
    """

    by_class: ClassVar[bool] = True

    @abstractmethod
    def of(self, rows: Float[Tensor, "n f"], y: Int[Tensor, " n"], classes: int) -> Scatter:
        """The scatter of deviations alone, of the same kind."""

    @abstractmethod
    def plus(self, other: Scatter) -> Scatter:
        """The sum with one of at least as many classes."""

    @abstractmethod
    def less(
        self, rows: Float[Tensor, "n f"], y: Int[Tensor, " n"], slack: float = EXACT
    ) -> Scatter:
        """S_k less X_k^T X_k, for deviations that are in it.

        Args:
            rows: X.
            y: the class of each.
            slack: share of the trace by which an eigenvalue may fall below 0; it is then set to 0.

        Raises:
            DataError: where one falls lower: such rows were not learned.
            ConfigError: for a kind that cannot do so exactly.
        """

    @abstractmethod
    def grouped(self, places: Sequence[int], classes: int) -> Scatter:
        """The scatter of ``classes`` groups: group g has the sum of S_k over the k with places[k] = g.

        A class at the place -1 is left out, of kinds that are ``by_class``.
        """

    @abstractmethod
    def moved(self, a: Float[Tensor, "*k f f"]) -> Scatter:
        """A^T S_k A: the scatter after rows moved by r -> r A; of kinds a class, A may be one a class."""

    @abstractmethod
    def widened(self, count: Float[Tensor, " k"], noise: Float[Tensor, "f f"]) -> Scatter:
        """S_k + n_k N: the scatter after each of n_k rows got noise of covariance N.

        Args:
            count: (K,) n_k.
            noise: (f, f) N.
        """

    @abstractmethod
    def matrix(self, k: int) -> Float[Tensor, "f f"]:
        """S_k written out."""

    @abstractmethod
    def pooled(self) -> Float[Tensor, "f f"]:
        """sum_k S_k written out."""

    def tensors(self) -> dict[str, Tensor]:
        """What is kept, by name."""
        return dict(vars(self))


def padded(x: Float[Tensor, "o ..."], classes: int) -> Float[Tensor, "k ..."]:
    """Zeros for classes that are new."""
    return torch.cat([x, x.new_zeros(classes - len(x), *x.shape[1:])])


def group_sums(x: Float[Tensor, "k ..."], places: Sequence[int], classes: int) -> Tensor:
    """(G, ...) sums over the entries of each place; those at -1 are left out."""
    place = torch.tensor(places, dtype=torch.long, device=x.device)
    stays = place >= 0
    return x.new_zeros(classes, *x.shape[1:]).index_add(0, place[stays], x[stays])


def not_below_zero(
    difference: Float[Tensor, "f f"], trace: float, slack: float
) -> Float[Tensor, "f f"]:
    """A difference of scatters, with what rounding brought below zero set to zero.

    Args:
        difference: S - X^T X.
        trace: of S.
        slack: share of it that an eigenvalue may lie below 0.

    Raises:
        DataError: where one lies lower.
    """
    values, vectors = torch.linalg.eigh((difference + difference.T) / 2)
    check_eigenvalues(values, trace, slack)
    if float(values[0]) >= 0:
        return difference
    return (vectors * values.clamp_min(0)) @ vectors.T


def check_eigenvalues(values: Float[Tensor, " r"], trace: float, slack: float) -> None:
    """Refuse eigenvalues of a difference that lie below zero by more than rounding; log the others' sum.

    Args:
        values: the eigenvalues, of which those below 0 will be set to 0.
        trace: of what was taken from.
        slack: share of it that one may lie below 0.

    Raises:
        DataError: for such a one: the rows were not learned.
    """
    if len(values) and float(values.min()) < -slack * trace:
        raise DataError(
            "the rows to remove spread further than what is stored of their class: they are not the "
            "rows that were learned, as the same network gave them."
        )
    clipped = -float(values.clamp_max(0).sum())
    if clipped > 0:
        share = clipped / trace if trace else 0.0
        LOG.debug("removal: eigenvalues of sum -%.2e (%.1e of the trace) set to 0", clipped, share)
