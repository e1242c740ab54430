"""A loss around some weights: its slope there and nearby, and products with its Hessian."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from holdfast.core.output import Output
from holdfast.core.rows import Rows
from holdfast.curvature.hessian import hessian_times, loss_gradient
from holdfast.curvature.layout import Layout, layout_of
from holdfast.curvature.likelihood import FrameSoftmax, HeadSoftmax, Likelihood
from holdfast.curvature.persample import inputs_of, persample, weights_of
from holdfast.learner.effective import call_effective
from holdfast.learner.learner import Learner
from holdfast.recipes.method import Method
from holdfast.stream.task import Task

State = dict[str, Tensor]


def likelihood_of(method: Method | None) -> Likelihood | None:
    """The softmax that a method's network implies: of its head, or of its prototypes; None for neither.

    A contrastive loss with prototypes is not this likelihood, only minimal where it is.
    """
    if method is None:
        return None
    if method.trains_head:
        return HeadSoftmax()
    if method.frame is None:
        return None
    temperatures = [getattr(term, "tau", None) for term in method.terms]
    tau = next((tau for tau in temperatures if isinstance(tau, float)), 0.1)
    return FrameSoftmax(method.frame, tau)


def with_weights(learner: Learner, state: State) -> Learner:
    """A copy of a learner in eval mode with other weights, of an earlier and so perhaps smaller head."""
    other = copy.deepcopy(learner).eval()
    for name in ("weight", "bias"):
        setattr(other.head, name, nn.Parameter(torch.empty_like(state[f"head.{name}"])))
    other.load_state_dict(state)
    return other.to(next(learner.parameters()).device)


@dataclass(frozen=True)
class Local:
    """The mean of -log p(y_i | x_i) over some rows, around a learner's weights; in eval mode.

    Attributes:
        learner: at w0.
        layout: the weights.
        likelihood: p.
        task: whose rows they are, with these rows alone.
    """

    learner: Learner
    layout: Layout
    likelihood: Likelihood
    task: Task

    @classmethod
    def of(cls, learner: Learner, likelihood: Likelihood, task: Task, rows: Rows) -> Local:
        """Around a learner's weights (ConfigError if none can be trained)."""
        rows = rows.to(next(learner.parameters()).device)
        layout = layout_of(learner, likelihood.parts)
        return cls(learner, layout, likelihood, replace(task, train=rows))

    @property
    def rows(self) -> Rows:
        """The rows."""
        return self.task.train

    @property
    def weights(self) -> Float[Tensor, " p"]:
        """w0."""
        return self.layout.flat(weights_of(self.learner))

    def slope(self) -> Float[Tensor, " p"]:
        """The gradient at w0."""
        total = loss_gradient(self.learner, self.task, self.layout, self.likelihood)
        return total / len(self.rows)

    def times(self, vector: Float[Tensor, " p"]) -> Float[Tensor, " p"]:
        """The Hessian at w0 times a vector."""
        total = hessian_times(self.learner, self.task, self.layout, self.likelihood, vector)
        return total / len(self.rows)

    def slope_at(self, move: Float[Tensor, " p"]) -> Float[Tensor, " p"]:
        """The gradient at w0 + move."""
        y = self.likelihood.places(self.rows.y, self.task)
        return self._pulled(move, lambda logits: functional.cross_entropy(logits, y))

    def distilled_at(self, move: Float[Tensor, " p"]) -> Float[Tensor, " p"]:
        """The gradient at w0 + move of the mean KL(p at w0 || p)."""
        with torch.no_grad():
            before = self._logits(torch.zeros_like(move)).softmax(1)
        return self._pulled(move, lambda logits: functional.cross_entropy(logits, before))

    def by_row(self) -> tuple[Float[Tensor, " p"], float]:
        """The sum over rows of the gradients at w0, and of their squared lengths."""
        count = int(self.likelihood.places(self.rows.y, self.task).max()) + 1
        y = self.likelihood.places(self.rows.y, self.task)
        columns = functional.one_hot(y, count).to(self.weights)

        def score(out: Output, column: Tensor) -> Tensor:
            log_p = self.likelihood.logits(out, self.task).log_softmax(1)[0]
            return -(log_p[: len(column)] * column).sum()

        total, squares = torch.zeros_like(self.weights, dtype=torch.float64), 0.0
        image = torch.arange(len(y), device=y.device)
        for part in persample(self.learner, self.layout, score, self.rows.x, image, columns):
            flat = torch.cat([part[name].flatten(1) for name in self.layout.shapes], 1).double()
            total += flat.sum(0)
            squares += float(flat.square().sum())
        return total, squares

    def _logits(self, move: Tensor) -> Tensor:
        weights = weights_of(self.learner)
        shifted = self.layout.split(self.weights + move)
        out = call_effective(
            self.learner, weights | shifted, (inputs_of(self.learner, self.rows.x),)
        )
        return self.likelihood.logits(out, self.task)

    @torch.enable_grad()
    def _pulled(self, move: Tensor, loss: Callable[[Tensor], Tensor]) -> Tensor:
        move = move.detach().clone().requires_grad_()
        return torch.autograd.grad(loss(self._logits(move)), move)[0]
