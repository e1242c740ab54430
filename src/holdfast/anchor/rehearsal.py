"""The head rehearses old classes on draws from their Gaussians while a new task is learned."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from holdfast.core.constants import class_index
from holdfast.core.errors import ConfigError
from holdfast.core.numerics import at_least_float32
from holdfast.core.output import outputs
from holdfast.core.rng import make_generator
from holdfast.core.step import Part, Step
from holdfast.loss.term import Term
from holdfast.statistics.drift import DriftName
from holdfast.statistics.gaussian_source import GaussianSource
from holdfast.statistics.tracker import check_rows

if TYPE_CHECKING:
    from holdfast.learner.learner import Learner
    from holdfast.stream.task import Task


class PseudoRehearsal(Term):
    """Cross-entropy of the head over all classes seen, on pseudo-features of the old classes.

    Drawn from the class Gaussians where the past network left them; in a task the backbone moves on
    from there, so hold its features too (`FeatureDistillation`). Only the head gets a gradient. As
    many rows as the batch has are drawn from ``each`` of every old class, which live for one task.
    When a task ends, the statistics follow the drift from the past network. No image is kept: K (1 +
    f) + f^2 numbers are.

    With ``new``, rows of the batch stand among the draws, as many as make every class count alike, so
    that the head weighs new classes against old ones where both are.

    Args:
        each: draws of every old class.
        drift: how the stored statistics follow the network.
        seed: of the draws.
        new: whether rows of the batch stand among the draws.

    Raises:
        ConfigError: for less than one draw, or an unknown drift.

    Source: Zhu et al., *Prototype augmentation and self-supervision* (PASS), CVPR 2021, with covariances
    """

    needs_past = True
    reads = asks = ("logits",)
    label = "rehearsal"
    new = False

    def __init__(
        self, each: int = 200, drift: DriftName = "ridge", seed: int = 0, new: bool = False
    ):
        super().__init__()
        if each < 1:
            raise ConfigError(f"a rehearsal needs at least 1 draw of a class, not {each}.")
        self.source = GaussianSource(drift)
        self.each, self.seed = each, seed
        if new:  # else it is no setting of this object: runs begun before it was one go on
            self.new, self.reads = True, ("logits", "features")
            self.asks = self.reads
        self.pool: tuple[Tensor, Tensor] | None = None
        self.place, self.steps = (-1, -1), 0

    def value(self, part: Part, step: Step) -> Tensor:
        """The mean over the rows drawn."""
        if step.learner is None:
            raise ConfigError("a rehearsal needs Step(..., learner=...): it was made without.")
        if self.pool is None:
            self.pool = self.source.draw(self.each, self.seed + step.task)
        x, y = self.pool
        self.steps = self.steps + 1 if self.place == (step.task, step.epoch) else 0
        self.place = (step.task, step.epoch)
        generator = make_generator(x.device, self.seed, "rehearsal", *self.place, self.steps)
        fresh = _fresh(len(part), step) if self.new else 0
        rows = torch.randint(len(x), (len(part) - fresh,), generator=generator, device=x.device)
        weight = step.learner.head.weight
        x, y = x[rows].to(weight), y[rows].to(part.rows.y.device)
        if fresh:
            x = torch.cat([x, part.out.features[:fresh].detach().to(weight)])
            y = torch.cat([y, part.rows.y[:fresh]])
        logits = at_least_float32(step.learner.head(x))
        target = torch.searchsorted(class_index(step.seen, y.device), y)
        return functional.cross_entropy(logits[:, class_index(step.seen, logits.device)], target)

    @torch.no_grad()
    def consolidate(self, learner: Learner, task: Task, past: Learner | None = None) -> None:
        """Take the task into the Gaussians, moved to the present network.

        Args:
            learner: the network as it is now.
            task: the task.
            past: the network as it was before the task, in eval mode; None in the first.

        Raises:
            DataError: for a class of the task that has no row.
            DivergedError: for features that are not finite.
        """
        x = outputs(learner, task.train).features
        check_rows(x, task.train.y, task, "a rehearsal")
        before = None if past is None else outputs(past, task.train).features
        self.source.update(x, task.train.y, max(task.classes) + 1, before)
        self.pool, self.place = None, (-1, -1)


def _fresh(rows: int, step: Step) -> int:
    """How many of so many rows are of new classes, where each class has as many; at least one is old."""
    share = len(set(step.seen) - set(step.known)) / max(1, len(step.seen))
    return min(round(rows * share), rows - 1)
