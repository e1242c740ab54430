"""The head rehearses old classes on draws from their Gaussians while a new task is learned."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from holdfast.chance import generator_of
from holdfast.errors import ConfigError
from holdfast.learner.learner import gathered
from holdfast.loss.term import Term
from holdfast.memory.memory import NoMemory
from holdfast.readout.drift import DriftName
from holdfast.readout.gaussian import SharedGaussian
from holdfast.readout.readout import Lesson
from holdfast.step import Forward, Part, Step, wide

if TYPE_CHECKING:
    from holdfast.learner.learner import Learner
    from holdfast.stream.task import Task


class PseudoRehearsal(Term):
    """Cross-entropy of the head over all classes seen, on pseudo-features of the old classes.

    Drawn from the class Gaussians where the past network left them; in a task the backbone moves on
    from there, so hold its features too (`FeatureDistillation`). Only the head gets a gradient. As
    many rows as the batch has are drawn from ``each`` of every old class, which live for one task.
    When a task ends, the statistics follow the drift from the past network. No image is kept.

    Args:
        each: draws of every old class.
        drift: how the stored statistics follow the network.
        seed: of the draws.

    Raises:
        ConfigError: for less than one draw.

    Source: Zhu et al., *Prototype augmentation and self-supervision* (PASS), CVPR 2021, with covariances
    """

    needs_past = True
    needs_head = True
    label = "rehearsal"

    def __init__(self, each: int = 200, drift: DriftName = "ridge", seed: int = 0):
        super().__init__()
        if each < 1:
            raise ConfigError(f"a rehearsal needs at least 1 draw of a class, not {each}.")
        self.source = SharedGaussian(drift=drift)
        self.each, self.seed = each, seed
        self.ask: Forward | None = None  # the past network, while a task is learned
        self.pool: tuple[Tensor, Tensor] | None = None
        self.place, self.steps = (-1, -1), 0

    def value(self, part: Part, step: Step) -> Tensor:
        """The mean over the rows drawn."""
        if step.learner is None:
            raise ConfigError("a rehearsal needs Step(..., learner=...): it was made without.")
        self.ask = part.ask_past
        if self.pool is None:
            self.pool = self.source.draw(self.each, self.seed + step.task)
        x, y = self.pool
        self.steps = self.steps + 1 if self.place == (step.task, step.epoch) else 0
        self.place = (step.task, step.epoch)
        chance = generator_of(x.device, self.seed, "rehearsal", *self.place, self.steps)
        rows = torch.randint(len(x), (len(part),), generator=chance, device=x.device)
        weight = step.learner.head.weight
        logits = wide(step.learner.head(x[rows].to(weight)))
        seen = torch.tensor(step.seen, device=y.device)
        return functional.cross_entropy(logits[:, seen], torch.searchsorted(seen, y[rows]))

    @torch.no_grad()
    def consolidate(self, learner: Learner, task: Task) -> None:
        """Take the task into the Gaussians, moved to the present network."""
        lesson = Lesson(learner, task, NoMemory(), task.classes)
        if self.ask is not None:
            lesson.past_out = gathered(self.ask, task.train)
        self.source.fit(lesson)
        self.ask, self.pool, self.place = None, None, (-1, -1)
