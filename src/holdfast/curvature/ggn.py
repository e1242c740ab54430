"""Generalised Gauss-Newton: J^T (second derivative of the loss in the logits) J, times a vector.

For the cross-entropy of a softmax the middle is diag(p) - p p^T, whatever the label, so that the GGN
*is* the Fisher (docs/theory.md, section 6) and both names mean one computation here. They part for
losses that are no log-likelihood of an exponential family; none of those is offered. The Hessian has
beyond it sum_i sum_c (p_c - 1[c = y_i]) Hess z_c(x_i), 0 for a network that is linear in its weights.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import jvp

from holdfast.core.ranks import added
from holdfast.curvature.fisher import OutputFactors
from holdfast.curvature.hessian import BATCH, Weights, covered_weights
from holdfast.curvature.layout import Layout
from holdfast.curvature.likelihood import Likelihood
from holdfast.curvature.persample import inputs_of
from holdfast.learner.effective import call_effective

if TYPE_CHECKING:
    from holdfast.learner.learner import Learner
    from holdfast.stream.task import Task


def ggn_times(
    learner: Learner,
    task: Task,
    layout: Layout,
    likelihood: Likelihood,
    factors: OutputFactors,
    vector: Float[Tensor, " p"],
) -> Float[Tensor, " p"]:
    """(P,) sum_i sum_r J_i^T v_ir v_ir^T J_i u: a pass in forward mode and a backward pass a batch.

    Args:
        learner: in the mode it is in.
        task: whose training images.
        layout: the weights.
        likelihood: whose logits.
        factors: what stands between the Jacobians.
        vector: u.
    """
    weights, everything = covered_weights(learner, layout)
    along = layout.split(vector)

    def batch(rows: slice) -> Tensor:
        x = inputs_of(learner, task.train.x[rows])

        def read(some: Weights) -> Tensor:
            return likelihood.logits(call_effective(learner, everything | some, (x,)), task)

        with torch.no_grad():
            through = factors.product(rows, jvp(read, (weights,), (along,))[1])
        with torch.enable_grad():
            leaves = {name: w.detach().requires_grad_() for name, w in weights.items()}
            pulled = torch.autograd.grad(
                (read(leaves) * through).sum(), list(leaves.values()), materialize_grads=True
            )
        return layout.flat(dict(zip(leaves, pulled, strict=True)))

    def work(rows: slice) -> Tensor:
        total = torch.zeros_like(vector)
        for start in range(rows.start, rows.stop, BATCH):
            total += batch(slice(start, min(start + BATCH, rows.stop)))
        return total

    return added(len(task.train), work)
