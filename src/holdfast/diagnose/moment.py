"""A moment of a run, as the figures read it: what its networks say of the watched rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from holdfast.core.output import Output, outputs
from holdfast.core.rows import Rows
from holdfast.diagnose.watched import Watched
from holdfast.learner.learner import Learner
from holdfast.learner.stages import showing_stages
from holdfast.metrics import Missing
from holdfast.recipes.method import Method

Values = dict[str, float]
PAST = 5  # earlier networks that one is compared with: the first, the last, and some between


@dataclass(frozen=True)
class Says:
    """What a network says of all watched rows.

    Attributes:
        features: (n, f).
        embedding: (n, d).
    """

    features: Float[Tensor, "n f"]
    embedding: Float[Tensor, "n d"]


@dataclass(frozen=True)
class Moment:
    """The end of a task.

    Attributes:
        task: its index.
        watched: the rows.
        now: what the network says of them, with its logits, and its stages where it has them.
        past: the same of the networks after earlier tasks, by task; not all need be there.
        method: for its prototypes and whether it trains a head; None where it is not known.
        learner: the network.
        class_il: (t, t) accuracies up to this task.
        task_il: (t, t) the same within the task.
        sizes: (t,) test rows.
        reference: (t,) Task-IL accuracy on each task of a run that was free to learn it.
    """

    task: int
    watched: Watched
    now: Output
    past: Mapping[int, Says]
    method: Method | None
    learner: Learner
    class_il: Float[Tensor, "t t"]
    task_il: Float[Tensor, "t t"]
    sizes: Float[Tensor, " t"]
    reference: Float[Tensor, " t"] | None = field(default=None)

    @property
    def y(self) -> Int[Tensor, " n"]:
        """Classes of the watched rows."""
        return self.watched.rows.y

    @property
    def tasks(self) -> Int[Tensor, " n"]:
        """Tasks of the watched rows."""
        return self.watched.rows.task

    @property
    def seen(self) -> Bool[Tensor, " n"]:
        """Rows of tasks learned."""
        return self.watched.seen(self.task)

    @property
    def old(self) -> tuple[int, ...]:
        """Classes of earlier tasks."""
        return tuple(self.y[self.tasks < self.task].unique().tolist())

    @property
    def new(self) -> tuple[int, ...]:
        """Classes that this task brought."""
        return tuple(sorted(set(self.y[self.tasks == self.task].tolist()) - set(self.old)))

    @property
    def before(self) -> Says | None:
        """What the network before this task says, where it is known."""
        return self.past.get(self.task - 1)

    @property
    def compared(self) -> list[int]:
        """The earlier tasks whose networks are compared with this one: all, or `PAST` of many."""
        known = sorted(task for task in self.past if task < self.task)
        if len(known) <= PAST:
            return known
        places = torch.linspace(0, len(known) - 1, PAST).round().long().tolist()
        return [known[place] for place in places]

    def lacks_past(self) -> str:
        """Why nothing is compared with earlier networks; empty if something is."""
        if not self.task:
            return "it is the first task"
        return "" if self.compared else "the networks after the earlier tasks are not kept"


def says(out: Output) -> Says:
    """What is kept of an output."""
    return Says(out.features.float().cpu(), out.embedding.float().cpu())


def look(learner: Learner, watched: Watched, device: torch.device) -> Output:
    """What a network says of the watched rows, on the CPU; with stages where it has them."""
    return look_at(learner, watched.rows, device)


def look_at(learner: Learner, rows: Rows, device: torch.device) -> Output:
    """The same of any rows."""
    shown = showing_stages(learner) if learner.backbone.stage_modules() else nullcontext()
    with shown:
        return outputs(learner, rows.to(device), 256).each(Tensor.cpu)


def mean_of(values: list[float]) -> float:
    """The mean of those that are numbers; the reason of the first where none is."""
    numbers = [value for value in values if value == value]
    if numbers:
        return sum(numbers) / len(numbers)
    return values[0] if values else Missing("there is nothing to take the mean of")


def all_missing(names: Iterable[str], reason: str) -> Values:
    """No figure of some names, for one reason."""
    return {name: Missing(reason) for name in names}
