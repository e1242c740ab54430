"""Fisher information: the exact one, one from sampled labels, and the one of observed labels.

F = sum_i E_{c ~ p(.|x_i)} (d log p_c / dw)(d log p_c / dw)^T = sum_i J_i^T (diag(p) - p p^T) J_i, with J_i
the Jacobian of the logits at x_i. Every kind is sum_i sum_r (J_i^T v_ir)(J_i^T v_ir)^T over some output
factors v_ir in the space of the logits: one backward pass a factor.
"""

from __future__ import annotations

import copy

import torch
from jaxtyping import Float, Int
from torch import Tensor

EXACT_CLASSES = (
    100  # above, a Fisher or GGN asked by default is sampled: it has K - 1 factors an image
)
FACTOR_BYTES = 2**26  # of output factors at a time; the least is one image's


class OutputFactors:
    """The factors v_ir of every image, made for a few images at a time.

    Args:
        p: (N, K) probabilities.
        labels: (N, D) drawn or observed labels, which make v = (e_c - p) / sqrt(D); None for the exact
            factors, `softmax_factors`.
    """

    def __init__(self, p: Float[Tensor, "n k"], labels: Int[Tensor, "n d"] | None = None):
        self.p, self.labels = p, labels

    def __len__(self) -> int:
        return len(self.p)

    def some(self, rows: slice) -> OutputFactors:
        """Those of some images."""
        part = copy.copy(self)
        part.p, part.labels = self.p[rows], None if self.labels is None else self.labels[rows]
        return part

    @property
    def per_image(self) -> int:
        """R, how many factors each image has."""
        return max(1, self.p.shape[1] - 1) if self.labels is None else self.labels.shape[1]

    @property
    def images(self) -> int:
        """How many images' factors take `FACTOR_BYTES`; at least one."""
        size = self.per_image * self.p.shape[1] * self.p.element_size()
        return max(1, FACTOR_BYTES // max(size, 1))

    def at(self, rows: slice) -> Float[Tensor, "m r k"]:
        """(M, R, K) the factors of some images."""
        p = self.p[rows]
        if self.labels is None:
            return softmax_factors(p)
        labels = self.labels[rows]
        factors = -p[:, None].repeat(1, labels.shape[1], 1)
        one = torch.ones_like(factors[:, :, :1])
        return factors.scatter_add(2, labels[:, :, None], one) / labels.shape[1] ** 0.5

    def product(self, rows: slice, u: Float[Tensor, "m k"]) -> Float[Tensor, "m k"]:
        """(M, K) sum_r v_ir v_ir^T u_i; the exact one is p u - p (p.u) and needs no factor."""
        if self.labels is None:
            p = self.p[rows]
            return p * (u - (p * u).sum(1, keepdim=True))
        v = self.at(rows)
        return torch.einsum("nrk,nrj,nj->nk", v, v, u)


def softmax_factors(p: Float[Tensor, "n k"]) -> Float[Tensor, "n r k"]:
    """(N, K - 1, K) vectors v_j with sum_j v_j v_j^T = diag(p) - p p^T, by breaking the stick.

    v_j is sqrt(p_j s_{j+1} / s_j) at j and -p_i sqrt(p_j / (s_j s_{j+1})) at every i > j, with
    s_j = sum_{i >= j} p_i: one backward pass fewer than one a class. For K = 1 it is one vector, 0.

    Source: Tanabe and Sagae, *An exact Cholesky decomposition of the multinomial distribution* (1992).
    """
    if p.shape[1] == 1:
        return torch.zeros_like(p)[:, None]  # one class is certain: one factor, 0
    tail = p.flip(1).cumsum(1).flip(1)
    here, after = tail[:, :-1, None], tail[:, 1:, None]
    first, least = p[:, :-1, None], torch.finfo(p.dtype).tiny
    below = -p[:, None, :] * (first / (here * after).clamp_min(least)).sqrt()
    at = (first * after / here.clamp_min(least)).sqrt()
    place = torch.arange(p.shape[1], device=p.device)
    ahead = place[None, :] > place[:-1, None]
    return torch.where(ahead, below, torch.where(place[None, :] == place[:-1, None], at, 0.0))
