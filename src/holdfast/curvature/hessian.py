"""Hessian of the summed loss: products by double backward, the matrix itself for small networks.

It has negative eigenvalues wherever the network is not at a minimum, and often there too: as a
penalty it must be clipped (`positive`), or the GGN be taken in its place. One product a weight: only
networks of some thousand weights have the matrix, or its diagonal, in reasonable time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from holdfast.core.errors import ConfigError
from holdfast.core.ranks import added
from holdfast.curvature.layout import Layout
from holdfast.curvature.likelihood import Likelihood
from holdfast.curvature.persample import inputs_of, weights_of
from holdfast.learner.effective import call_effective

if TYPE_CHECKING:
    from holdfast.core.rows import Rows
    from holdfast.learner.learner import Learner
    from holdfast.stream.task import Task

BATCH = 512  # images at a time
Weights = dict[str, Tensor]


def covered_weights(learner: Learner, layout: Layout) -> tuple[Weights, Weights]:
    """The weights of a layout, and all of the learner's, by name and without gradient."""
    everything = weights_of(learner)
    return {name: everything[name] for name in layout.shapes}, everything


def _summed_loss(
    learner: Learner, weights: Weights, rows: Rows, task: Task, likelihood: Likelihood
) -> Tensor:
    """sum_i -log p(y_i | x_i) at these weights."""
    out = call_effective(learner, weights, (inputs_of(learner, rows.x),))
    y = likelihood.places(rows.y, task)
    return functional.cross_entropy(likelihood.logits(out, task), y, reduction="sum")


@torch.enable_grad()
def loss_gradient(
    learner: Learner, task: Task, layout: Layout, likelihood: Likelihood
) -> Float[Tensor, " p"]:
    """(P,) the gradient of sum_i -log p(y_i | x_i)."""
    weights, everything = covered_weights(learner, layout)
    for w in weights.values():
        w.requires_grad_()

    def work(some: slice) -> Tensor:
        total = torch.zeros(layout.size).to(next(learner.parameters()))
        for rows in task.train[some].batches(BATCH):
            loss = _summed_loss(learner, everything, rows, task, likelihood)
            gradient = torch.autograd.grad(loss, list(weights.values()), materialize_grads=True)
            total += layout.flat(dict(zip(weights, gradient, strict=True)))
        return total

    return added(len(task.train), work)


@torch.enable_grad()
def hessian_times(
    learner: Learner,
    task: Task,
    layout: Layout,
    likelihood: Likelihood,
    vector: Float[Tensor, " p"],
) -> Float[Tensor, " p"]:
    """(P,) the Hessian of sum_i -log p(y_i | x_i) times a vector, by double backward."""
    weights, everything = covered_weights(learner, layout)
    for w in weights.values():
        w.requires_grad_()
    along = layout.split(vector)

    def work(some: slice) -> Tensor:
        total = torch.zeros_like(vector)
        for rows in task.train[some].batches(BATCH):
            loss = _summed_loss(learner, everything, rows, task, likelihood)
            gradient = torch.autograd.grad(loss, list(weights.values()), create_graph=True)
            moved = torch.stack([(g * along[n]).sum() for n, g in zip(weights, gradient)]).sum()
            second = torch.autograd.grad(moved, list(weights.values()), materialize_grads=True)
            total += layout.flat(dict(zip(weights, second, strict=True)))
        return total

    return added(len(task.train), work)


def dense_hessian(
    learner: Learner, task: Task, layout: Layout, likelihood: Likelihood, diagonal: bool = False
) -> Tensor:
    """(P, P) the Hessian, or (P,) its diagonal: one product a weight."""
    like = next(learner.parameters())
    total = like.new_zeros((layout.size,) if diagonal else (layout.size,) * 2)
    for place, basis in enumerate(torch.eye(layout.size).to(like)):
        product = hessian_times(learner, task, layout, likelihood, basis)
        total[place] = product[place] if diagonal else product
    return total


def positive(matrix: Tensor, clip: bool) -> Tensor:
    """A symmetric (P, P) matrix or (P,) diagonal without negative curvature.

    Args:
        matrix: what should be positive semi-definite; rounding is forgiven.
        clip: negative curvature becomes 0.

    Raises:
        ConfigError: naming the most negative eigenvalue, unless it is clipped.
    """
    diagonal = matrix.ndim == 1
    values, vectors = (matrix, None) if diagonal else torch.linalg.eigh((matrix + matrix.T) / 2)
    least, most = float(values.min()), float(values.abs().max())
    if least >= -100 * torch.finfo(matrix.dtype).eps * most and not clip:
        return matrix
    if not clip:
        what = "entry of the Hessian's diagonal" if diagonal else "eigenvalue of the Hessian"
        raise ConfigError(
            f"the most negative {what} is {least:.3g} (the largest {float(values.max()):.3g}), so it can "
            "be no penalty: use clip=True, or ggn, which is never negative."
        )
    values = values.clamp_min(0)
    return values if vectors is None else (vectors * values) @ vectors.T
