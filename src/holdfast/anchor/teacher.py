"""Another teacher in the past network's place: controls of a distillation (docs/theory.md, section 13)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
from torch import Tensor, nn

from holdfast.core.errors import ConfigError
from holdfast.core.rng import derive_seed, in_range
from holdfast.core.step import Forward, Part, Step
from holdfast.loss.checks import require_option
from holdfast.loss.term import Objective

if TYPE_CHECKING:
    from holdfast.learner.learner import Learner

Teacher = Literal["past", "random", "shuffled"]


class TaughtBy(Objective):
    """An objective that is told of another past network: what of its gain is memory is seen so.

    ``random``: a network of the learner's shape with weights of no training, which normalises by the
    batch it sees. Holding the learner to it anchors as much and remembers nothing. ``shuffled``: the
    past network's outputs of the batch, each given to another row: the same answers, to other inputs.

    A random teacher is the same throughout a run, but for its head, which is drawn anew as classes
    come. Its seed is the run's where it is first asked, and is kept with the run's state. It is made
    from that, and not stored.

    Args:
        of: the objective, such as a distillation.
        teacher: ``random`` or ``shuffled``.

    Raises:
        ConfigError: for another teacher.

    Source: Sarnthein et al., *Random teachers are good teachers*, ICML 2023, for the random one
    """

    def __init__(self, of: Objective, teacher: str):
        super().__init__()
        require_option("teacher", teacher, ("random", "shuffled"))
        self.of, self.teacher = of, teacher
        self._seed = -1
        self._network = Untrained()

    def forward(self, step: Step) -> Tensor:
        """The objective of the same update, told of the other teacher; as ever while there is no past."""
        if not step.has_past:
            return self.of(step)
        if self.teacher == "shuffled":
            return self.of(step.taught(_others))
        if step.learner is None:
            raise ConfigError("a random teacher needs a step that knows its learner.")
        if self._seed < 0:
            self._seed = torch.initial_seed() % 2**62
        network = self._network.get(step.learner, self._seed)
        return self.of(step.taught(lambda part: network))

    def get_extra_state(self) -> dict[str, int]:
        """The seed of a random teacher; -1 before it was asked."""
        return {"seed": self._seed}

    def set_extra_state(self, state: dict[str, int]) -> None:
        """Take over the seed."""
        self._seed = int(state["seed"])
        self._network = Untrained()


class Untrained:
    """An untrained network, made anew when the head has grown: it follows from its seed."""

    derived = True

    def __init__(self):
        self.network: Learner | None = None

    def get(self, learner: Learner, seed: int) -> Forward:
        """The network for a learner as wide as this one."""
        here = self.network
        if here is None or len(here.head.bias) != len(learner.head.bias):
            self.network = here = untrained(learner, seed)
        return partial(_say, here)


def _say(network: Learner, x: Tensor) -> Any:
    return network(x)


def untrained(learner: Learner, seed: int) -> Learner:
    """A frozen copy of a learner with weights of no training; a frozen backbone keeps its weights.

    It normalises by the batch it sees, as its running statistics would be those of another network.

    Args:
        learner: whose shape it has, and whose normalisation of the inputs.
        seed: of the weights.
    """
    network = learner.freeze("batch")
    parts = (
        [network.projector] if learner.backbone.frozen else [network.backbone, network.projector]
    )
    with torch.random.fork_rng([]), torch.no_grad():
        torch.manual_seed(in_range(derive_seed(seed, "teacher")))
        for module in (inner for part in parts for inner in part.modules()):
            reset = getattr(module, "reset_parameters", None)
            if callable(reset):
                reset()
        classes, width = network.head.weight.shape
        fresh = nn.Linear(width, classes).to(network.head.weight)
        network.head.weight.copy_(fresh.weight)
        network.head.bias.copy_(fresh.bias)
    return network


def _others(part: Part) -> Forward:
    """Says of each row what the past network says of another one."""
    rows = len(part)
    places = torch.randperm(rows).to(part.rows.y.device)
    return lambda _: part.past.rows(places)


def taught(objective: Objective, teacher: str = "past") -> Objective:
    """An objective with its teacher: the past network as ever, or one of the controls of `TaughtBy`.

    Raises:
        ConfigError: for an unknown teacher.
    """
    require_option("teacher", teacher, get_args(Teacher))
    return objective if teacher == "past" else TaughtBy(objective, teacher)
