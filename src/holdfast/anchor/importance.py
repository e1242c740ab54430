"""Importances that are no curvature: the path integral of SI, the output sensitivity of MAS."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from holdfast.anchor.prior import weights_in
from holdfast.anchor.rule import Named, Rule
from holdfast.curvature.curvature import Importance
from holdfast.curvature.layout import Layout
from holdfast.curvature.matrix import Diagonal
from holdfast.curvature.persample import evaluating, persample, weights_of
from holdfast.errors import ConfigError

if TYPE_CHECKING:
    from holdfast.learner.learner import Learner, Output
    from holdfast.step import Step
    from holdfast.stream.task import Task


class SynapticIntelligence(Rule):
    """Accumulates what each weight's moves did for the loss: omega = - sum_steps g * delta.

    Give the same object to the method twice: as a rule among the anchors, which lets it see every
    step, and inside ``Quadratic(PathIntegral(rule))``, which asks it for the importance when a task
    ends. g is the gradient of the whole step's objective, the penalty included, as in the public
    implementations; delta is what the optimiser did, momentum and weight decay included.

    Source: Zenke, Poole, Ganguli, *Continual learning through synaptic intelligence* (2017).
    """

    def __init__(self):
        super().__init__()
        self.start: Named = {}
        self.omega: Named = {}
        self.g: Named = {}

    def gradient(self, gradient: Named, step: Step) -> Named:
        """Untouched; kept until the update."""
        if not self.start:
            self.start = {n: w.detach().clone() for n, w in weights_in(step).items()}
            self.omega = {n: torch.zeros_like(w) for n, w in self.start.items()}
        self.g = {name: g.detach().clone() for name, g in gradient.items()}
        return gradient

    def update(self, delta: Named, step: Step) -> Named:
        """Untouched; the step's share of the path integral is added."""
        for name, g in self.g.items():
            self.omega[name] -= g * delta[name]
        self.g = {}
        return delta

    def consolidate(self, learner: Learner, task: Task) -> None:
        """Start anew: the terms, which asked for the importance, come before the rules."""
        self.start, self.omega = {}, {}

    def get_extra_state(self) -> dict[str, Named]:
        """The path so far, for a task that is resumed."""
        return {"start": self.start, "omega": self.omega}

    def set_extra_state(self, state: dict[str, Named]) -> None:
        """Take over a path."""
        self.start, self.omega = dict(state["start"]), dict(state["omega"])


class PathIntegral(Importance):
    """H = 2 max(0, omega) / (Delta^2 + xi), Delta the weight's whole move over the task.

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

    def of(self, learner: Learner, task: Task, layout: Layout) -> Diagonal:
        """Of the task that just ended."""
        if not self.path.start:
            raise ConfigError(
                "synaptic intelligence saw no step: put its rule among the method's anchors too."
            )
        away = layout.flat(weights_of(learner)) - layout.flat(self.path.start)
        omega = layout.flat(self.path.omega).clamp_min(0)
        return Diagonal(layout, 2 * omega / (away.square() + self.xi))


class MemoryAware(Importance):
    """H = 2 mean_i |d ||f(x_i)||^2 / dw|, f the head's outputs: how much the weights move the output.

    No label is needed. The factor 2 makes 1/2 H the published Omega, so the weight is its lambda.
    Gradients are taken for each image by itself, in eval mode.

    Source: Aljundi et al., *Memory aware synapses* (2018).
    """

    needs_head = True

    def of(self, learner: Learner, task: Task, layout: Layout) -> Diagonal:
        """Over the task's training rows."""
        x = task.train.x
        image = torch.arange(len(x), device=x.device)
        total = torch.zeros_like(layout.flat(weights_of(learner)))
        with evaluating(learner):
            for gradients in persample(
                learner, layout, _norm, x, image, total.new_zeros(len(x), 1)
            ):
                total += layout.flat({name: g.abs().sum(0) for name, g in gradients.items()})
        return Diagonal(layout, 2 * total / len(x))


def _norm(out: Output, _: Tensor) -> Tensor:
    return out.logits.square().sum()
