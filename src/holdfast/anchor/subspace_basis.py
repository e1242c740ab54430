"""Orthonormal bases that grow: how many directions hold a share of energy, and a sketch of gradients."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from holdfast.core.numerics import in_float64

ROUNDING = 4 * torch.finfo(torch.float64).eps  # of a sum of squares, a dimension


def count_directions(
    energy: Float[Tensor, " k"],
    total: float,
    eps: float,
    before: float = 0.0,
    strict: bool = False,
    rounding: float = ROUNDING,
) -> int:
    """How many of some directions, strongest first, bring the share of the total energy to eps.

    The least r with (before + sum_{j <= r} energy_j) / total >= eps; with ``strict`` the number of r >= 1
    with a share below eps, as public code counts, which is one direction fewer. Directions without
    energy, up to rounding, are never kept; eps = 1 keeps all others.

    Args:
        energy: (k,) squared singular values, falling.
        total: their sum together with what is covered before.
        eps: the share.
        before: what directions kept earlier cover.
        strict: count as public code does.
        rounding: of the total, the share that is no energy.

    >>> e = torch.tensor([6.0, 3.0, 1.0])
    >>> [count_directions(e, 10.0, eps) for eps in (0.5, 0.6, 0.9, 0.95, 1.0)]
    [1, 1, 2, 3, 3]
    >>> [count_directions(e, 10.0, eps, strict=True) for eps in (0.5, 0.7, 0.95)]
    [0, 1, 2]
    >>> count_directions(e, 20.0, 0.5, before=10.0)
    0
    """
    if not total > 0:
        return 0
    real = int((energy > len(energy) * rounding * total).sum())
    if eps >= 1:
        return real
    shares = (before + energy.cumsum(0)) / total
    below = int((shares < eps).sum()) + (not strict and before / total < eps)
    return min(below, real)


def extended(
    M: Float[Tensor, "d r"] | None, directions: Float[Tensor, "d k"]
) -> Float[Tensor, "d m"]:
    """[M, U], U an orthonormal basis of the directions without their part in M; at most d columns.

    Args:
        M: orthonormal; None is no column.
        directions: that are new.
    """
    if M is None:
        M = directions[:, :0]
    U = directions[:, : len(directions) - M.shape[1]]
    for _ in range(2):  # once more takes away what rounding leaves
        U = torch.linalg.qr(U - M @ (M.T @ U))[0]
    return torch.cat([M, U], 1)


def grown(
    M: Float[Tensor, "d r"] | None, gram: Float[Tensor, "d d"], eps: float, strict: bool = False
) -> Float[Tensor, "d m"]:
    """M with the leading directions of A' = A - M M^T A, until the whole has the share eps of ||A||^2.

    A enters by its Gram matrix: the squared singular values of A' are the eigenvalues of
    (I - M M^T) A A^T (I - M M^T), its left singular vectors their eigenvectors.

    Args:
        M: in double precision; None where there was no task.
        gram: A A^T in double precision.
        eps: the share.
        strict: as for `count_directions`.
    """
    total = float(gram.trace())
    left = gram
    if M is not None and M.shape[1]:
        away = torch.eye(len(gram)).to(gram) - M @ M.T
        left = away @ gram @ away
    energy, vectors = torch.linalg.eigh((left + left.T) / 2)
    energy, vectors = energy.flip(0).clamp_min(0), vectors.flip(1)
    before = max(total - float(energy.sum()), 0.0) if M is not None else 0.0
    count = count_directions(energy, total, eps, before, strict)
    return extended(M, vectors[:, :count])


def sketched(
    B: Float[Tensor, "d r"], U: Float[Tensor, "d k"], s: Float[Tensor, " k"], rank: int
) -> Float[Tensor, "d q"]:
    """A frequent-directions sketch B with a matrix U diag(s) V^T taken in; V is not needed.

    The join [B, U_:rank diag(s_:rank)] has the singular values t_i; B becomes U' diag(t~) with
    t~_i = sqrt(max(t_i^2 - t_{rank+1}^2, 0)), so that 0 <= sum G G^T - B B^T in every direction.

    Args:
        B: the sketch so far, at first without columns.
        U: left singular vectors.
        s: singular values, falling.
        rank: columns of the sketch, at most.

    Source: Ghashami et al., *Frequent directions: simple and deterministic matrix sketching*, 2016
    """
    join = torch.cat([B, U[:, :rank] * s[:rank]], 1)
    U, t, _ = torch.linalg.svd(join, full_matrices=False)
    cut = t[rank].square() if len(t) > rank else t.new_zeros(())
    shrunk = (t[:rank].square() - cut).clamp_min(0).sqrt()
    some = shrunk > 1e-6 * t[:1]  # less is rounding, whose directions are nobody's
    return (signed(U[:, :rank]) * shrunk)[:, some].contiguous()


def signed(U: Float[Tensor, "d k"]) -> Float[Tensor, "d k"]:
    """Singular vectors with the sign that makes the largest entry of each positive: else chance has it.

    >>> signed(torch.tensor([[0.6, -0.8], [-0.8, -0.6]]))
    tensor([[-0.6000,  0.8000],
            [ 0.8000,  0.6000]])
    """
    largest = U.abs().argmax(0, keepdim=True)
    return U * torch.where(U.gather(0, largest) < 0, -1.0, 1.0).to(U)


def kept_of(
    M: Float[Tensor, "d r"] | None, B: Float[Tensor, "d q"], eps: float, strict: bool = False
) -> Float[Tensor, "d m"]:
    """M with the leading left singular vectors of a sketch, up to the share eps of its energy.

    Args:
        M: orthonormal; None is no column.
        B: the sketch, of what is orthogonal to M.
        eps: the share.
        strict: as for `count_directions`.
    """
    U, s, _ = torch.linalg.svd(in_float64(B), full_matrices=False)
    energy = s.square()
    rounding = 4 * torch.finfo(B.dtype).eps ** 2  # of squared numbers of the gradients' precision
    rounding = max(rounding, ROUNDING)
    count = count_directions(energy, float(energy.sum()), eps, strict=strict, rounding=rounding)
    return extended(None if M is None else in_float64(M), U[:, :count]).to(B)
