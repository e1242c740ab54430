"""Curvatures times vectors, without the matrix; and its largest eigenvalues from such products."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import Tensor
from torch.func import functional_call, jvp
from torch.nn import functional

from holdfast.curvature.layout import Layout
from holdfast.curvature.likelihood import Likelihood
from holdfast.curvature.persample import inputs_of, weights_of
from holdfast.errors import ConfigError

if TYPE_CHECKING:
    from holdfast.learner.learner import Learner
    from holdfast.stream.rows import Rows
    from holdfast.stream.task import Task

BATCH = 512  # images at a time
Weights = dict[str, Tensor]


def _parted(learner: Learner, layout: Layout) -> tuple[Weights, Weights]:
    """The covered weights, and everything."""
    everything = weights_of(learner)
    return {name: everything[name] for name in layout.shapes}, everything


def _loss(
    learner: Learner, weights: Weights, rows: Rows, task: Task, likelihood: Likelihood
) -> Tensor:
    """sum_i -log p(y_i | x_i) at these weights."""
    out = functional_call(learner, weights, (inputs_of(learner, rows.x),))
    y = likelihood.places(rows.y, task)
    return functional.cross_entropy(likelihood.logits(out, task), y, reduction="sum")


@torch.enable_grad()
def loss_slope(
    learner: Learner, task: Task, layout: Layout, likelihood: Likelihood
) -> Float[Tensor, " p"]:
    """The gradient of sum_i -log p(y_i | x_i)."""
    weights, everything = _parted(learner, layout)
    for w in weights.values():
        w.requires_grad_()
    total = torch.zeros(layout.size).to(next(learner.parameters()))
    for rows in task.train.batches(BATCH):
        loss = _loss(learner, everything, rows, task, likelihood)
        found = torch.autograd.grad(loss, list(weights.values()), materialize_grads=True)
        total += layout.flat(dict(zip(weights, found, strict=True)))
    return total


@torch.enable_grad()
def hessian_times(
    learner: Learner,
    task: Task,
    layout: Layout,
    likelihood: Likelihood,
    vector: Float[Tensor, " p"],
) -> Float[Tensor, " p"]:
    """The Hessian of sum_i -log p(y_i | x_i) times a vector, by double backward."""
    weights, everything = _parted(learner, layout)
    for w in weights.values():
        w.requires_grad_()
    total, along = torch.zeros_like(vector), layout.split(vector)
    for rows in task.train.batches(BATCH):
        loss = _loss(learner, everything, rows, task, likelihood)
        slope = torch.autograd.grad(loss, list(weights.values()), create_graph=True)
        moved = torch.stack([(g * along[n]).sum() for n, g in zip(weights, slope)]).sum()
        second = torch.autograd.grad(moved, list(weights.values()), materialize_grads=True)
        total += layout.flat(dict(zip(weights, second, strict=True)))
    return total


def outer_times(
    learner: Learner,
    task: Task,
    layout: Layout,
    likelihood: Likelihood,
    roots: Float[Tensor, "n r k"],
    vector: Float[Tensor, " p"],
) -> Float[Tensor, " p"]:
    """sum_i sum_r J_i^T v_ir v_ir^T J_i times a vector: one forward mode and one backward pass."""
    weights, everything = _parted(learner, layout)
    total, along = torch.zeros_like(vector), layout.split(vector)
    for rows, v in zip(task.train.batches(BATCH), roots.split(BATCH), strict=True):
        x = inputs_of(learner, rows.x)

        def read(some: Weights, x: Tensor = x) -> Tensor:
            return likelihood.logits(functional_call(learner, everything | some, (x,)), task)

        with torch.no_grad():
            moved = jvp(read, (weights,), (along,))[1]
            told = torch.einsum("nrk,nrj,nj->nk", v, v, moved)
        with torch.enable_grad():
            leaves = {name: w.detach().requires_grad_() for name, w in weights.items()}
            found = torch.autograd.grad(
                (read(leaves) * told).sum(), list(leaves.values()), materialize_grads=True
            )
        total += layout.flat(dict(zip(leaves, found, strict=True)))
    return total


def largest(
    times: Callable[[Tensor], Tensor], size: int, rank: int, like: Tensor
) -> tuple[Float[Tensor, " r"], Float[Tensor, "p r"]]:
    """The largest eigenvalues, ascending, and their vectors, from products alone (Lanczos).

    Args:
        times: v to H v.
        size: P.
        rank: how many.
        like: a tensor of the device and precision to use.

    Raises:
        ConfigError: if the rank is not below P.
    """
    if rank >= size:
        raise ConfigError(
            f"a low-rank curvature of {size} weights needs a rank below {size}, not {rank}: "
            "use structure='full'."
        )

    def matvec(v: np.ndarray) -> np.ndarray:
        return times(torch.from_numpy(np.ravel(v)).to(like)).double().cpu().numpy()

    operator = LinearOperator((size, size), matvec, dtype=np.float64)  # pyright: ignore
    start = np.random.default_rng(0).standard_normal(size)
    exact = like.dtype == torch.float64
    values, vectors = eigsh(
        operator,
        rank,
        which="LA",
        v0=start,
        tol=0 if exact else 1e-4,  # pyright: ignore[reportArgumentType]
    )
    return torch.from_numpy(values).to(like), torch.from_numpy(vectors).to(like)
