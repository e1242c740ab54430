"""Matrix: a symmetric H over a layout's weights, stored as its structure allows.

``H @ v``, ``H + other`` and ``2.0 * H`` do what they say, and `Matrix.to_linear_operator` hands it to
scipy.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from holdfast.core.errors import ConfigError
from holdfast.curvature.layout import Layout

Pair = tuple[Tensor, Tensor]  # A (i, i) of a layer's inputs, G (o, o) of its outputs


class Matrix(ABC):
    """H of 1/2 (w-w0)^T H (w-w0): what an anchor must be able to do with it.

    Attributes:
        layout: the weights whose H it is.
    """

    layout: Layout

    @abstractmethod
    def times(self, v: Float[Tensor, " p"]) -> Float[Tensor, " p"]:
        """H v, with its graph."""

    @abstractmethod
    def plus(self, other: Any) -> Matrix:
        """The sum with one of the same structure; the other's layout may have grown since."""

    @abstractmethod
    def scaled(self, factor: float) -> Matrix:
        """Factor times H."""

    @abstractmethod
    def tensors(self) -> dict[str, Tensor]:
        """What is stored."""

    def over(self, v: Float[Tensor, " q"], layout: Layout) -> Float[Tensor, " q"]:
        """H v in a layout that has grown since; nothing is known of the new weights."""
        if layout == self.layout:
            return self.times(v)
        at = layout.places(self.layout).to(v.device)
        return torch.zeros_like(v).index_copy(0, at, self.times(v[at]))

    def dense(self) -> Float[Tensor, "p p"]:
        """Every entry, for small layouts."""
        first = next(iter(self.tensors().values()))
        return self @ torch.eye(self.layout.size).to(first)

    @property
    def shape(self) -> tuple[int, int]:
        """(P, P)."""
        return self.layout.size, self.layout.size

    def __matmul__(self, v: Float[Tensor, "p ..."]) -> Float[Tensor, "p ..."]:
        """H v for a vector (P,) or for the columns of a matrix (P, C).

        Raises:
            ConfigError: for another shape.
        """
        if v.ndim not in (1, 2) or len(v) != self.layout.size:
            raise ConfigError(
                f"a curvature of {self.layout.size} weights multiplies vectors ({self.layout.size},) "
                f"or matrices ({self.layout.size}, C), not {tuple(v.shape)}."
            )
        return self.times(v) if v.ndim == 1 else torch.stack([self.times(c) for c in v.T], 1)

    def __add__(self, other: Matrix) -> Matrix:
        """The sum with one of the same structure, over the larger layout of the two.

        Raises:
            ConfigError: for another structure.
        """
        if not isinstance(other, Matrix):
            return NotImplemented
        if type(other) is not type(self):
            raise ConfigError(
                f"a {type(self).__name__} and a {type(other).__name__} curvature have no sum: give "
                "both the same structure, or add their dense()."
            )
        grown = other.layout.size >= self.layout.size
        return self.plus(other) if grown else other.plus(self)

    def __mul__(self, factor: float) -> Matrix:
        """Factor times H, factor >= 0 (ConfigError)."""
        if not factor >= 0:
            raise ConfigError(
                f"a curvature is scaled by a number that is at least 0, not {factor}."
            )
        return self.scaled(factor)

    __rmul__ = __mul__

    def to_linear_operator(self) -> Any:
        """H as a ``LinearOperator`` of scipy, in float64 on the CPU."""
        first = next(iter(self.tensors().values()))

        def product(v: np.ndarray) -> np.ndarray:
            return (self @ torch.from_numpy(v).to(first)).cpu().double().numpy()

        kinds = {"matvec": lambda v: product(v.ravel()), "matmat": product}
        kinds["rmatvec"], kinds["rmatmat"] = kinds["matvec"], kinds["matmat"]  # it is symmetric
        from scipy.sparse.linalg import LinearOperator  # costs half a second

        return LinearOperator(self.shape, dtype=np.float64, **kinds)  # pyright: ignore


class Diagonal(Matrix):
    """P numbers."""

    def __init__(self, layout: Layout, values: Float[Tensor, " p"]):
        self.layout, self.values = layout, values

    def times(self, v: Tensor) -> Tensor:
        """H v."""
        return self.values * v

    def plus(self, other: Diagonal) -> Diagonal:
        """The sum, over the other's layout."""
        return Diagonal(other.layout, self.spread(other.layout) + other.values)

    def scaled(self, factor: float) -> Diagonal:
        """Factor times H."""
        return Diagonal(self.layout, factor * self.values)

    def spread(self, layout: Layout) -> Float[Tensor, " q"]:
        """The diagonal in a layout that has grown since."""
        at = layout.places(self.layout).to(self.values.device)
        return self.values.new_zeros(layout.size).index_copy(0, at, self.values)

    def tensors(self) -> dict[str, Tensor]:
        """The diagonal."""
        return {"diagonal": self.values}


class Full(Matrix):
    """P^2 numbers."""

    def __init__(self, layout: Layout, values: Float[Tensor, "p p"]):
        self.layout, self.values = layout, values

    def times(self, v: Tensor) -> Tensor:
        """H v."""
        return self.values @ v

    def plus(self, other: Full) -> Full:
        """The sum, over the other's layout."""
        at = other.layout.places(self.layout).to(self.values.device)
        total = other.values.clone()
        total[at[:, None], at] += self.values
        return Full(other.layout, total)

    def scaled(self, factor: float) -> Full:
        """Factor times H."""
        return Full(self.layout, factor * self.values)

    def tensors(self) -> dict[str, Tensor]:
        """The matrix."""
        return {"full": self.values}


class LowRank(Matrix):
    """H = U U^T with U (P, r): its r largest eigenvalues.

    A sum is cut back to the larger of the two ranks, so that it does not grow with the tasks.
    """

    def __init__(self, layout: Layout, root: Float[Tensor, "p r"]):
        self.layout, self.root = layout, root

    def times(self, v: Tensor) -> Tensor:
        """U (U^T v)."""
        return self.root @ (self.root.T @ v)

    def plus(self, other: LowRank) -> LowRank:
        """The best approximation of the sum in that rank, by the eigenvectors of both together."""
        at = other.layout.places(self.layout).to(self.root.device)
        older = self.root.new_zeros(other.layout.size, self.root.shape[1]).index_copy(
            0, at, self.root
        )
        both = torch.cat([older, other.root], 1)
        rank = max(self.root.shape[1], other.root.shape[1])
        _, vectors = torch.linalg.eigh(both.T @ both)  # ascending
        return LowRank(other.layout, both @ vectors[:, -rank:])

    def scaled(self, factor: float) -> LowRank:
        """Factor times H, factor >= 0."""
        return LowRank(self.layout, factor**0.5 * self.root)

    def tensors(self) -> dict[str, Tensor]:
        """The root."""
        return {"root": self.root}


class Kronecker(Matrix):
    """A block a layer, H = sum_t G_t (x) A_t over its weight (and bias), and a diagonal for the rest.

    The sum over tasks is kept exactly, one pair of factors a task and layer: a sum of Kronecker
    products is none. Weights that belong to no such layer (batch norm) have a diagonal.

    Attributes:
        pairs: by layer; A is (i, i), or (i + 1, i + 1) with the bias as the last input; G is (o, o),
            smaller than the layer where the head has grown since.
        rest: (P,) the diagonal of the weights of other layers, 0 elsewhere.
    """

    def __init__(self, layout: Layout, pairs: Mapping[str, list[Pair]], rest: Float[Tensor, " p"]):
        self.layout, self.pairs, self.rest = layout, pairs, rest

    def times(self, v: Tensor) -> Tensor:
        """G W A for each layer, W the layer's part of v."""
        pieces, products = self.layout.split(v), self.layout.split(self.rest * v)
        for layer, pairs in self.pairs.items():
            weight, bias = pieces[f"{layer}.weight"], pieces.get(f"{layer}.bias")
            W = weight.flatten(1)
            W = W if bias is None else torch.cat([W, bias[:, None]], 1)
            total = torch.zeros_like(W)
            for A, G in pairs:
                rows = len(G)
                product = G @ W[:rows] @ A
                total = total + torch.cat([product, torch.zeros_like(W[rows:])])
            width = weight[0].numel()
            products[f"{layer}.weight"] = total[:, :width].reshape(weight.shape)
            if bias is not None:
                products[f"{layer}.bias"] = total[:, width]
        return self.layout.flat(products)

    def plus(self, other: Kronecker) -> Kronecker:
        """The exact sum: both lists of pairs."""
        rest = Diagonal(self.layout, self.rest).spread(other.layout) + other.rest
        pairs = {layer: [*self.pairs.get(layer, []), *more] for layer, more in other.pairs.items()}
        return Kronecker(other.layout, pairs, rest)

    def scaled(self, factor: float) -> Kronecker:
        """Factor times H."""
        pairs = {layer: [(factor * A, G) for A, G in of] for layer, of in self.pairs.items()}
        return Kronecker(self.layout, pairs, factor * self.rest)

    def tensors(self) -> dict[str, Tensor]:
        """The diagonal, and the factors by layer and task."""
        named = {"rest": self.rest}
        for layer, of in self.pairs.items():
            for task, (A, G) in enumerate(of):
                named |= {f"A/{layer}/{task}": A, f"G/{layer}/{task}": G}
        return named


def matrix_from(layout: Layout, tensors: Mapping[str, Tensor]) -> Matrix:
    """The matrix of which these are the `Matrix.tensors`."""
    if "diagonal" in tensors:
        return Diagonal(layout, tensors["diagonal"])
    if "full" in tensors:
        return Full(layout, tensors["full"])
    if "root" in tensors:
        return LowRank(layout, tensors["root"])
    return Kronecker(layout, dict(_pairs(tensors)), tensors["rest"])


def _pairs(tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, list[Pair]]]:
    layers = dict.fromkeys(name.split("/")[1] for name in tensors if name.startswith("A/"))
    for layer in layers:
        tasks = sum(name.startswith(f"A/{layer}/") for name in tensors)
        yield (
            layer,
            [(tensors[f"A/{layer}/{t}"], tensors[f"G/{layer}/{t}"]) for t in range(tasks)],
        )
