"""Matrix: a symmetric H over a layout's weights, stored as its structure allows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

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
        return torch.stack([self.times(e) for e in torch.eye(self.layout.size).to(first)], 1)


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
        pieces, made = self.layout.split(v), self.layout.split(self.rest * v)
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
            made[f"{layer}.weight"] = total[:, :width].reshape(weight.shape)
            if bias is not None:
                made[f"{layer}.bias"] = total[:, width]
        return self.layout.flat(made)

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


def restored(layout: Layout, tensors: Mapping[str, Tensor]) -> Matrix:
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


def steepest(matrices: list[Matrix]) -> float:
    """The largest eigenvalue of the sum of some matrices whose layouts only grew: max H.

    Exact for diagonals; else by power iteration, from below and within a few percent.
    """
    if not matrices:
        return 0.0
    layout = matrices[-1].layout
    diagonals = [m.spread(layout) for m in matrices if isinstance(m, Diagonal)]
    if len(diagonals) == len(matrices):
        return float(torch.stack(diagonals).sum(0).max())
    first = next(iter(matrices[-1].tensors().values()))
    chance = torch.Generator().manual_seed(0)
    v = torch.randn(layout.size, generator=chance, dtype=torch.float64).to(first)
    size = 0.0
    for _ in range(50):
        v = v / v.norm().clamp_min(torch.finfo(v.dtype).tiny)
        v = torch.stack([m.over(v, layout) for m in matrices]).sum(0)
        size = float(v.norm())
    return size
