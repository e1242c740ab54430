"""Decisions: what a readout solves once when it is fitted, and scores rows by until the next fit.

They are no state: a readout that was loaded solves them again when it is first asked.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from holdfast.statistics.class_statistics import Statistics
from holdfast.statistics.covariance import Covariance, SharedCovariance

LARGEST = 2**27  # numbers (1 GiB) up to which one factor a class is kept


class Decision(ABC):
    """Scores of rows in double precision.

    Attributes:
        derived: it follows from what is stored, so that a memory meter does not count it again.
    """

    derived = True

    @abstractmethod
    def __call__(self, x: Float[Tensor, "n f"]) -> Float[Tensor, "n k"]:
        """(N, K) one score a class."""

    @abstractmethod
    def network(self) -> nn.Module:
        """The same as a network in single precision."""


@dataclass(frozen=True)
class Linear(Decision):
    """(x - c) W^T + b.

    Attributes:
        weight: (K, f) W.
        bias: (K,) b.
        centre: (f,) c, so that rows far from zero lose no digits.
    """

    weight: Float[Tensor, "k f"]
    bias: Float[Tensor, " k"]
    centre: Float[Tensor, " f"]

    def __call__(self, x: Tensor) -> Tensor:
        """(X - c) W^T + b."""
        return (x - self.centre) @ self.weight.T + self.bias

    def network(self) -> nn.Linear:
        """A linear layer."""
        return linear_layer(self.weight, self.bias - self.weight @ self.centre)


@dataclass(frozen=True)
class Cosine(Decision):
    """cos(x, m_k).

    Attributes:
        units: (K, f) means at length 1.
    """

    units: Float[Tensor, "k f"]

    def __call__(self, x: Tensor) -> Tensor:
        """cos(x, m_k)."""
        return functional.normalize(x, dim=1) @ self.units.T

    def network(self) -> nn.Module:
        """A linear layer after rows are brought to length 1."""
        return nn.Sequential(UnitRows(), linear_layer(self.units))


@dataclass(frozen=True)
class Euclidean(Decision):
    """-1/2 ||x - m_k||^2.

    Attributes:
        means: (K, f).
    """

    means: Float[Tensor, "k f"]

    def __call__(self, x: Tensor) -> Tensor:
        """x.m - 1/2 m.m - 1/2 x.x"""
        means = self.means
        return x @ means.T - 0.5 * (means**2).sum(1) - 0.5 * (x**2).sum(1, keepdim=True)

    def network(self) -> nn.Module:
        """Whitened by the identity."""
        return Whitened(self.means, torch.eye(self.means.shape[1]).to(self.means)[None])


class Whitening(ABC):
    """Squared Mahalanobis distances to every class, each covariance factorised once.

    Attributes:
        derived: as of `Decision`.
    """

    derived = True

    @abstractmethod
    def squared(self, x: Float[Tensor, "n f"]) -> Float[Tensor, "n k"]:
        """(N, K) squared distances; those to classes not met are +inf or mean nothing."""


@dataclass(frozen=True)
class SharedWhitening(Whitening):
    """By one covariance L L^T for all classes.

    Attributes:
        root: (f, f) L.
        means: (K, f) L^-1 m_k.
    """

    root: Float[Tensor, "f f"]
    means: Float[Tensor, "k f"]

    @staticmethod
    def of(statistics: Statistics, covariance: SharedCovariance) -> SharedWhitening:
        """From the statistics."""
        root = torch.linalg.cholesky(covariance.matrix(statistics))
        return SharedWhitening(root, whiten(root, statistics.mean))

    def squared(self, x: Tensor) -> Tensor:
        """||L^-1 x - L^-1 m_k||^2."""
        return torch.cdist(whiten(self.root, x), self.means) ** 2


@dataclass(frozen=True)
class ClassWhitening(Whitening):
    """By a covariance L_k L_k^T for each class.

    Attributes:
        statistics: of the classes.
        covariance: how one follows from them.
        factors: L_k of every class met; None where they are too large to keep (`LARGEST`), so that
            each call factorises again.
    """

    statistics: Statistics
    covariance: Covariance
    factors: tuple[Tensor, ...] | None

    @staticmethod
    def of(statistics: Statistics, covariance: Covariance) -> ClassWhitening:
        """From the statistics."""
        classes, f = statistics.met.nonzero()[:, 0].tolist(), statistics.mean.shape[1]
        fits = len(classes) * f * f <= LARGEST
        factors = tuple(covariance.roots(statistics, classes)) if fits else None
        return ClassWhitening(statistics, covariance, factors)

    @property
    def classes(self) -> list[int]:
        """Those met."""
        return self.statistics.met.nonzero()[:, 0].tolist()

    def roots(self) -> Iterable[Tensor]:
        """L_k of every class met."""
        if self.factors is not None:
            return self.factors
        return self.covariance.roots(self.statistics, self.classes)

    def squared(self, x: Tensor) -> Tensor:
        """||L_k^-1 (x - m_k)||^2; +inf for a class not met."""
        return -2 * self.scores(x, determinant=False)

    def scores(self, x: Tensor, determinant: bool) -> Tensor:
        """-1/2 of the squared distance, less 1/2 log |L_k L_k^T| if it counts; -inf if not met."""
        scores = x.new_full((len(x), len(self.statistics.count)), -torch.inf)
        for k, root in zip(self.classes, self.roots(), strict=True):
            white = whiten(root, x - self.statistics.mean[k])
            scores[:, k] = -0.5 * (white**2).sum(1)
            if determinant:
                scores[:, k] -= root.diagonal().log().sum()
        return scores


@dataclass(frozen=True)
class Quadratic(Decision):
    """-1/2 (x - m_k).S_k^-1 (x - m_k), less 1/2 log |S_k| if it counts.

    Attributes:
        whitening: the distances.
        determinant: whether the determinant counts.
    """

    whitening: ClassWhitening
    determinant: bool

    def __call__(self, x: Tensor) -> Tensor:
        """-inf for a class not met."""
        return self.whitening.scores(x, self.determinant)

    def network(self) -> nn.Module:
        """A product with L_k^-1 for each class."""
        statistics = self.whitening.statistics
        k, f = statistics.mean.shape
        inverse = statistics.mean.new_zeros(k, f, f)
        offset = statistics.mean.new_full((k,), -torch.inf)
        eye = torch.eye(f).to(statistics.mean)
        for c, root in zip(self.whitening.classes, self.whitening.roots(), strict=True):
            inverse[c] = torch.linalg.solve_triangular(root, eye, upper=False)
            offset[c] = -root.diagonal().log().sum() if self.determinant else 0.0
        return Whitened(statistics.mean, inverse, offset)


def whiten(root: Float[Tensor, "f f"], x: Float[Tensor, "n f"]) -> Float[Tensor, "n f"]:
    """Rows L^-1 x of a lower factor L."""
    return torch.linalg.solve_triangular(root, x.T, upper=False).T


# what a decision is made of in an export


def linear_layer(
    weight: Float[Tensor, "k f"], bias: Float[Tensor, " k"] | None = None
) -> nn.Linear:
    """A layer x W^T + b in single precision."""
    layer = nn.Linear(weight.shape[1], len(weight), bias=bias is not None)
    layer.weight = nn.Parameter(
        weight.detach().float().cpu().contiguous().clone(), requires_grad=False
    )
    if bias is not None:
        layer.bias = nn.Parameter(bias.detach().float().cpu().clone(), requires_grad=False)
    return layer


class UnitRows(nn.Module):
    """Rows at length 1."""

    def forward(self, x: Tensor) -> Tensor:
        """X / ||x||."""
        return functional.normalize(x, dim=1)


class Whitened(nn.Module):
    """-1/2 ||W_k (x - m_k)||^2 + b_k, with one W for all classes or one for each."""

    means: Tensor
    inverse: Tensor
    offset: Tensor

    def __init__(
        self,
        means: Float[Tensor, "k f"],
        inverse: Float[Tensor, "j f f"],
        offset: Float[Tensor, " k"] | None = None,
    ):
        super().__init__()
        offset = means.new_zeros(len(means)) if offset is None else offset
        for name, value in {"means": means, "inverse": inverse, "offset": offset}.items():
            self.register_buffer(name, value.detach().float().cpu().clone())

    def forward(self, x: Tensor) -> Tensor:
        """(N, f) to (N, K)."""
        gap = x[None] - self.means[:, None]
        white = gap @ self.inverse.transpose(1, 2)
        return -0.5 * (white**2).sum(2).T + self.offset


class Masked(nn.Module):
    """-inf for the classes that never came."""

    unmet: Tensor

    def __init__(self, met: Bool[Tensor, " k"]):
        super().__init__()
        self.register_buffer("unmet", ~met.cpu())

    def forward(self, scores: Tensor) -> Tensor:
        """The scores of the others."""
        return scores.masked_fill(self.unmet, -torch.inf)


class MinusLargest(nn.Module):
    """Minus the largest score among the classes that came."""

    def __init__(self, scores: nn.Module, met: Bool[Tensor, " k"]):
        super().__init__()
        self.scores, self.masked = scores, Masked(met)

    def forward(self, x: Tensor) -> Tensor:
        """(N, f) to (N,)."""
        return -self.masked(self.scores(x)).amax(1)
