"""What rules share that give each task a state of its own: masks over weights, the rest whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool
from torch import Tensor, nn

from holdfast.anchor.rule import Named, Rule
from holdfast.core.errors import ConfigError
from holdfast.learner.states import TaskStates, changeable

if TYPE_CHECKING:
    from holdfast.core.step import Step
    from holdfast.learner.learner import Learner
    from holdfast.stream.task import Task

Masks = dict[str, Bool[Tensor, "..."]]
LAYERS = (nn.Linear, nn.modules.conv._ConvNd)


def maskable(learner: nn.Module) -> dict[str, nn.Parameter]:
    """The trained weights of the backbone's linear layers and convolutions, by name.

    Raises:
        ConfigError: if there are none, or one of them is parametrised.
    """
    weights = {}
    for name, module in learner.named_modules():
        if not name.startswith("backbone") or not isinstance(module, LAYERS):
            continue
        weight = module._parameters.get("weight")
        if weight is None:
            raise ConfigError(
                f"{name}.weight is made from other parameters, and this rule edits weights themselves: use "
                "a backbone without parametrised weights."
            )
        if weight.requires_grad:
            weights[f"{name}.weight"] = weight
    if not weights:
        raise ConfigError(
            "this rule needs a backbone with linear layers or convolutions that are trained: name another "
            "with --backbone, or train its last layers with --tune-layers."
        )
    return weights


class Isolated(Rule):
    """A rule under which the network has a state a task (`TaskStates`); a subclass chooses the masks.

    While a task is learned its network is in the learner's own weights, so that losses, curvatures
    and readouts see it; when it ends, its state is kept.

    Attributes:
        masks: of the task that is being learned, by the names of weights.
    """

    def __init__(self):
        super().__init__()
        self.masks: Masks = {}

    def begin(self, learner: Learner, task: Task) -> None:
        """Prepare the masks of a task, and put its network into the weights."""
        if task.few:
            return
        if learner.states is None:
            weights = maskable(learner)
            others = {n: t for n, t in changeable(learner).items() if n not in weights}
            learner.states = TaskStates(weights, others)
        self.prepare(learner, task)

    def prepare(self, learner: Learner, task: Task) -> None:
        """Choose the masks, and write the weights under them."""

    @torch.no_grad()
    def adjust(self, learner: Learner, task: Task) -> None:
        """Keep what the task has learned, and its state."""
        states = learner.states
        if states is None or not self.masks:
            return
        self.store(states.weights(), dict(learner.named_parameters()))
        states.keep(learner, self.masks)

    def store(self, shared: Named, weights: Named) -> None:
        """Write into the shared weights what the task has made of them."""


def shared_weights(step: Step) -> Named:
    """The weights that all tasks' masks are laid over.

    Raises:
        ConfigError: if the step was made without its learner.
    """
    if step.learner is None or step.learner.states is None:
        raise ConfigError("masks need Step(..., learner=...) of a learner that began the task.")
    return step.learner.states.weights()
