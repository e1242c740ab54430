"""Importances that are no curvature: the path integral of SI, the output sensitivity of MAS."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from holdfast.anchor.prior import weights_in
from holdfast.anchor.rule import Named, Rule
from holdfast.anchor.weight import Quadratic, penalty
from holdfast.core.errors import ConfigError
from holdfast.core.ranks import added
from holdfast.curvature.importance import Importance
from holdfast.curvature.layout import Layout
from holdfast.curvature.matrix import Diagonal
from holdfast.curvature.persample import evaluating, persample, weights_of

if TYPE_CHECKING:
    from holdfast.core.output import Output
    from holdfast.core.step import Step
    from holdfast.learner.learner import Learner
    from holdfast.stream.task import Task


class SynapticIntelligence(Rule):
    """Accumulates what each weight's moves did for the loss: omega = - sum_steps g * delta.

    Give the same object to the method twice: as a rule among the anchors, which lets it see every
    step, and inside ``Quadratic(PathIntegral(rule))``, which asks it for the importance when a task
    ends. g is the gradient of the whole step's objective, the penalty included; after `without`, that of
    the loss alone, as in the authors' code, where the penalty pulls a weight but has no share in what its
    moves are worth. delta is what the optimiser did, momentum and weight decay included, and so the
    penalty's pull in both. What other rules then make of that move (a `Proximal` that draws it back,
    `WeightAligning` at the end) is no work of the loss: it counts neither in omega nor in the displacement.

    Attributes:
        omega: by parameter name, the path integral so far.
        moved: by parameter name, the sum of the moves seen.

    Source: Zenke, Poole, Ganguli, *Continual learning through synaptic intelligence* (2017).
    """

    loss_alone: bool = False  # what is as ever stands in no run's settings

    def __init__(self):
        super().__init__()
        self.omega: Named = {}
        self.moved: Named = {}
        self.start: Named = {}  # from a state of the older format, which kept it in place of moved
        self._less: tuple[Quadratic, ...] = ()  # no modules of this one: they hold it

    def without(self, penalty: Quadratic) -> SynapticIntelligence:
        """Leave the gradient of a penalty out of the path; itself.

        Args:
            penalty: a term of the same method's loss, as it is: not scaled by a factor outside.
        """
        self._less, self.loss_alone = (*self._less, penalty), True
        return self

    def _loss_alone(self, gradient: Named, move: Named, step: Step) -> Named:
        """Less the penalties' gradients, where the weights were before the move."""
        with torch.enable_grad():
            now = weights_in(step)
            before = {n: (w.detach() - move.get(n, 0.0)).requires_grad_() for n, w in now.items()}
            total = sum(
                term.prior.scale(step) * penalty(term.prior, before)
                for term in self._less
                if term.prior.quadratics
            )
            if not isinstance(total, Tensor):
                return gradient
            names = list(gradient)
            pulls = torch.autograd.grad(total, [before[n] for n in names], allow_unused=True)
        return {n: gradient[n] if p is None else gradient[n] - p for n, p in zip(names, pulls)}

    def observe(self, gradient: Named, move: Named, step: Step) -> None:
        """Add the step's share of the path integral, and its move."""
        if self._less:
            gradient = self._loss_alone(gradient, move, step)
        if not self.moved:
            weights = {n: w.detach() for n, w in weights_in(step).items()}
            self.moved = {n: torch.zeros_like(w) for n, w in weights.items()}
            for name, start in self.start.items():
                self.moved[name] = weights[name] - start - move.get(name, 0.0)
            self.omega = self.omega or {n: torch.zeros_like(w) for n, w in weights.items()}
            self.start = {}
        for name, g in gradient.items():
            self.omega[name] -= g * move[name]
            self.moved[name] += move[name]

    def displacement(self, learner: Learner, layout: Layout) -> Float[Tensor, " p"]:
        """(P,) how far the moves that it saw lead.

        Raises:
            ConfigError: if it saw none.
        """
        if self.moved:
            return layout.flat(self.moved)
        if not self.start:
            raise ConfigError(
                "synaptic intelligence saw no step: put its rule among the method's anchors too."
            )
        return layout.flat(weights_of(learner)) - layout.flat(self.start)

    def consolidate(self, learner: Learner, task: Task, past: Learner | None = None) -> None:
        """Start anew: the terms, which asked for the importance, come before the rules."""
        self.omega, self.moved, self.start = {}, {}, {}

    def get_extra_state(self) -> dict[str, Named]:
        """The path so far, for a task that is resumed."""
        older = {"start": self.start} if self.start else {}
        return {"omega": self.omega, "moved": self.moved} | older

    def set_extra_state(self, state: dict[str, Named]) -> None:
        """Take over a path; a state of the older format has ``start`` in place of ``moved``."""
        self.omega = dict(state["omega"])
        self.moved, self.start = dict(state.get("moved", {})), dict(state.get("start", {}))


class PathIntegral(Importance):
    """H = 2 max(0, omega) / (Delta^2 + xi), Delta the sum of the moves that the rule saw.

    The factor 2 makes 1/2 H the published surrogate's Omega, so the weight is its c.

    Args:
        path: the rule that accumulates omega.
        xi: damping, > 0.
    """

    def __init__(self, path: SynapticIntelligence, xi: float = 0.1):
        super().__init__()
        if not xi > 0:
            raise ConfigError(
                f"the damping xi of synaptic intelligence must be positive, not {xi}."
            )
        self.path, self.xi = path, xi

    def measure(self, learner: Learner, task: Task, layout: Layout) -> Diagonal:
        """Of the task that just ended; nothing mattered in one that moved no weight."""
        if task.few:
            return Diagonal(layout, torch.zeros_like(layout.flat(weights_of(learner))))
        away = self.path.displacement(learner, layout)
        omega = layout.flat(self.path.omega).clamp_min(0)
        return Diagonal(layout, 2 * omega / (away.square() + self.xi))


class MemoryAware(Importance):
    """H = 2 mean_i |d ||f(x_i)||^2 / dw|, f the head's outputs: how much the weights move the output.

    No label is needed. The factor 2 makes 1/2 H the published Omega, so the weight is its lambda.
    Gradients are taken for each image by itself, in eval mode.

    Source: Aljundi et al., *Memory aware synapses* (2018).
    """

    reads = ("logits",)

    def measure(self, learner: Learner, task: Task, layout: Layout) -> Diagonal:
        """Over the task's training rows."""
        x = task.train.x

        def work(rows: slice) -> Tensor:
            image = torch.arange(len(x), device=x.device)[rows]
            total = torch.zeros_like(layout.flat(weights_of(learner)))
            nothing = total.new_zeros(len(image), 1)
            for gradients in persample(learner, layout, _norm, x, image, nothing):
                total += layout.flat({name: g.abs().sum(0) for name, g in gradients.items()})
            return total

        with evaluating(learner):
            return Diagonal(layout, 2 * added(len(x), work) / len(x))


def _norm(out: Output, _: Tensor) -> Tensor:
    return out.logits.square().sum()
