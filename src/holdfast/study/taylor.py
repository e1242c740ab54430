"""Second derivatives written out: what a Hessian has beyond the Fisher, and two parabolas."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import hessian
from torch.nn import functional

from holdfast.core.rows import Rows
from holdfast.curvature.layout import Layout
from holdfast.curvature.persample import weights_of
from holdfast.learner.learner import Learner
from holdfast.study.world import logits_at


def residual_curvature(learner: Learner, layout: Layout, rows: Rows) -> Float[Tensor, "n k p p"]:
    """Hess z_c(x_i): the second derivative of every logit."""
    w = layout.flat(weights_of(learner))
    one = lambda x: hessian(logits_at(learner, layout, x[None]))(w)[0]
    return torch.vmap(one, chunk_size=64)(rows.x)


def residual_sum(
    rest: Float[Tensor, "n k p p"], learner: Learner, rows: Rows
) -> Float[Tensor, "p p"]:
    """sum_i sum_c (p_c - 1[c = y_i]) Hess z_c(x_i)."""
    p = learner(rows.x).logits.softmax(1).detach()
    return torch.einsum("nk,nkpq->pq", p - functional.one_hot(rows.y, p.shape[1]), rest)


def resampled(
    rest: Float[Tensor, "n k p p"],
    learner: Learner,
    rows: Rows,
    fisher: Float[Tensor, "p p"],
    draws: int = 64,
) -> tuple[Tensor, list[float]]:
    """|H - n F| / |n F| for n labels drawn from the model itself, n growing.

    H - n F is then a sum of terms of mean 0, so the ratio falls as n^-1/2. F is of one input.

    Returns:
        the numbers n, and for each the root mean square over the draws.
    """
    p = learner(rows.x).logits.softmax(1).detach()
    terms = rest.flatten(2).flatten(0, 1)
    chance = torch.Generator().manual_seed(0)
    counts, sizes = torch.tensor([100, 400, 1600, 6400]).double(), []
    for count in counts.long().tolist():
        drawn = torch.stack([_draw(p, count, chance) for _ in range(draws)])
        away = (drawn.flatten(1) @ terms) / count
        sizes.append(float(away.square().sum(1).mean().sqrt() / fisher.norm()))
    return counts, sizes


def _draw(p: Float[Tensor, "n k"], count: int, chance: torch.Generator) -> Float[Tensor, "n k"]:
    """Sum of p - 1[y] over inputs drawn with replacement, and labels y drawn from p there."""
    i = torch.randint(len(p), (count,), generator=chance)
    y = torch.multinomial(p[i], 1, generator=chance)[:, 0]
    return torch.zeros_like(p).index_add(0, i, p[i] - functional.one_hot(y, p.shape[1]).to(p))


def two_parabolas(seed: int) -> tuple[float, float, float]:
    """Losses 1/2 (w-a)^T A (w-a) and the same of b, B; the second is learned with a prior H = A at a.

    Returns:
        relative distances: of the minimum with the factor 1/2 from (A + B)^-1 (Aa + Bb), the joint
        one; of the minimum without it from the same; and of that from (2A + B)^-1 (2Aa + Bb).
    """
    chance = torch.Generator().manual_seed(seed)
    roots = torch.randn(2, 5, 5, generator=chance, dtype=torch.float64)
    A, B = (r @ r.T + torch.eye(5) for r in roots)
    a, b = torch.randn(2, 5, generator=chance, dtype=torch.float64)

    def minimum(half: float) -> Tensor:
        """Of 1/2 (w-b)^T B (w-b) + half (w-a)^T A (w-a), by one Newton step from 0."""
        loss = lambda w: 0.5 * (w - b) @ B @ (w - b) + half * (w - a) @ A @ (w - a)
        w = torch.zeros(5).double()
        return w - torch.linalg.solve(hessian(loss)(w), torch.func.grad(loss)(w))

    joint = torch.linalg.solve(A + B, A @ a + B @ b)
    doubled = torch.linalg.solve(2 * A + B, 2 * A @ a + B @ b)
    apart = lambda u, v: float((u - v).norm() / v.norm())
    return apart(minimum(0.5), joint), apart(minimum(1.0), joint), apart(minimum(1.0), doubled)
