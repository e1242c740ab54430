"""Objective and Term: scalars to minimise, with an algebra (``a + b``, ``0.1 * a``, ``alpha * a``)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from torch import Tensor, nn

from holdfast.errors import ConfigError
from holdfast.loss.schedule import Constant, Schedule
from holdfast.step import Part, Step

if TYPE_CHECKING:
    from holdfast.learner.learner import Learner
    from holdfast.stream.rows import Rows
    from holdfast.stream.task import Task


class Objective(nn.Module, ABC):
    """Anything that turns a step into a scalar."""

    @abstractmethod
    def forward(self, step: Step) -> Tensor:
        """The scalar, with its graph."""

    def terms(self) -> list[Term]:
        """The terms it is made of."""
        return [module for module in self.modules() if isinstance(module, Term)]

    def __add__(self, other: Objective) -> Objective:
        return Sum(self, other)

    def __rmul__(self, weight: float | Schedule) -> Objective:
        return Scaled(weight, self)


class Term(Objective):
    """One scalar, asked of one part of the step; 0 while that part is empty or there is no past yet.

    Attributes:
        on: name of the part it is asked of.
        needs_past: whether it compares with the past network.
        whole_head: whether it needs a head for every class of the stream from the start; where
            nobody knows them, a head that grows must do.
        needs_rivals: whether it contrasts a task's classes only with each other, so that a task of
            one class teaches it nothing.
        needs_head: whether it asks what the head says, and so needs one that is trained.
        penalty: whether it asks nothing of the data; the log then shows its ratio to the rest.
        label: its name in logs.
        given: rows it brings itself, drawn for it as the part ``given``; a protocol must allow them.
    """

    on: str = "batch"
    needs_past: bool = False
    whole_head: bool = False
    needs_rivals: bool = False
    needs_head: bool = False
    penalty: bool = False
    label: str = "term"
    given: Rows | None = None

    @abstractmethod
    def value(self, part: Part, step: Step) -> Tensor:
        """The scalar for a part that is not empty: the only method a subclass writes."""

    def forward(self, step: Step) -> Tensor:
        """The guarded value, recorded under the term's label."""
        part = step.find(self.on)
        if part is None or (self.needs_past and not step.has_past):
            return step.zero
        value = self.value(part, step)
        step.record(self.label, value)
        return value

    def consolidate(self, learner: Learner, task: Task) -> None:
        """Keep what the next tasks will need; called once when a task ends."""


class Sum(Objective):
    """a + b."""

    def __init__(self, *parts: Objective):
        super().__init__()
        self.parts = nn.ModuleList(parts)

    def forward(self, step: Step) -> Tensor:
        """The sum of the parts."""
        return sum((part(step) for part in self.parts), start=step.zero)


class Scaled(Objective):
    """weight * a, for a number or a schedule; a is not computed while its weight is 0."""

    def __init__(self, weight: float | Schedule, of: Objective):
        super().__init__()
        self.of = of
        self.weight = weight if isinstance(weight, Schedule) else Constant(weight)
        self.label = weight.label if isinstance(weight, Schedule) else ""
        if not isinstance(weight, Schedule) and not weight >= 0:
            raise ConfigError(f"a term's weight must be at least 0, not {weight}.")

    def forward(self, step: Step) -> Tensor:
        """The scaled scalar; records a schedule's weight under its label."""
        weight = self.weight.at(step.epoch, step.epochs)
        if self.label:
            step.record(self.label, step.zero + weight)
        return weight * self.of(step) if weight else step.zero
