"""Subspaces: their overlap beyond chance, and what training cannot move (docs/theory.md, section 15)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from holdfast.core.numerics import in_float64
from holdfast.metrics.missing import Missing


class Overlap(NamedTuple):
    """How much two subspaces share.

    Attributes:
        value: ||Q_A^T Q_B||_F^2 / min(r_A, r_B): 1 where one lies in the other.
        chance: max(r_A, r_B) / D, its mean for random subspaces.
        corrected: (value - chance) / (1 - chance): 0 at chance.
    """

    value: float
    chance: float
    corrected: float


def overlap(first: Float[Tensor, "d a"], second: Float[Tensor, "d b"]) -> Overlap:
    """Of two orthonormal bases, in columns.

    Two seeds of one task are the second baseline: an overlap of two tasks below theirs means little.

    Args:
        first: (D, r_A) Q_A, for example from `left_basis`.
        second: (D, r_B) Q_B.

    Returns:
        `Overlap`; `Missing` where one is empty; the corrected value where one is the whole space.
    """
    first, second = in_float64(first), in_float64(second)
    D, ranks = len(first), (first.shape[1], second.shape[1])
    if not min(ranks):
        none = Missing("one subspace is empty")
        return Overlap(none, none, none)
    value = float((first.T @ second).square().sum()) / min(ranks)
    chance = max(ranks) / D
    whole = Missing("one subspace is the whole space")
    return Overlap(value, chance, (value - chance) / (1 - chance) if chance < 1 else whole)


def left_basis(matrix: Float[Tensor, "d n"], energy: float = 0.9) -> Float[Tensor, "d r"]:
    """The left singular vectors with which the squared singular values first reach a share.

    Args:
        matrix: (D, n) a weight's change, or inputs in columns.
        energy: the share, in (0, 1].

    >>> left_basis(torch.diag(torch.tensor([3.0, 1.0])), 0.9).abs().tolist()
    [[1.0], [0.0]]
    """
    u, size, _ = torch.linalg.svd(in_float64(matrix), full_matrices=False)
    square = size.square()
    if not bool(square.sum() > 0):
        return u[:, :0]
    reached = square.cumsum(0) / square.sum()
    return u[:, : min(int((reached < energy - 1e-12).sum()) + 1, len(size))]


def frozen_share(inputs: Float[Tensor, "n a"], tolerance: float = 1e-6) -> float:
    """1 - r / a: the share of a layer's input directions in which training cannot move its weights.

    r is the rank of the inputs. A step of gradient descent without decay stays in their span.

    Args:
        inputs: (n, a) what the layer was given; n < a leaves 1 - n/a or more.
        tolerance: of the largest singular value, below which a direction is not used.

    Returns:
        a share; `Missing` for no rows.

    Source: Advani, Saxe, *High-dimensional dynamics of generalization error*, 2017

    >>> frozen_share(torch.tensor([[1.0, 0.0, 0.0], [2.0, 0.0, 0.0]]))
    0.6666666666666667
    """
    if not inputs.numel():
        return Missing("there are no rows")
    return 1 - _span(inputs, tolerance).shape[0] / inputs.shape[1]


def frozen_part(
    weight: Float[Tensor, "b a"], inputs: Float[Tensor, "n a"], tolerance: float = 1e-6
) -> float:
    """||W (I - V V^T)||_F / ||W||_F: the share of a weight that training could not move.

    Args:
        weight: (b, a) of the layer.
        inputs: (n, a) what it was given, with V an orthonormal basis of their span.
        tolerance: as for `frozen_share`.

    Returns:
        a number in [0, 1]; `Missing` for no rows, or a weight of 0.
    """
    if not inputs.numel():
        return Missing("there are no rows")
    weight, basis = in_float64(weight), _span(inputs, tolerance)
    if not bool(weight.norm() > 0):
        return Missing("the weight is 0")
    return float((weight - weight @ basis.T @ basis).norm() / weight.norm())


def _span(inputs: Tensor, tolerance: float) -> Tensor:
    """(r, a) orthonormal rows that span the inputs."""
    _, size, v = torch.linalg.svd(in_float64(inputs), full_matrices=False)
    return v[(size > tolerance * size.max()) & (size > 0)]
