"""Objective and Term: scalars to minimise, with an algebra (``a + b``, ``0.1 * a``, ``alpha * a``)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor, nn

from holdfast.core.errors import ConfigError
from holdfast.core.output import OF_STAGES
from holdfast.core.step import Part, Step
from holdfast.loss.schedule import Constant, Schedule
from holdfast.stream.mixing import Mixing

if TYPE_CHECKING:
    from holdfast.core.rows import Rows
    from holdfast.learner.learner import Learner
    from holdfast.stream.task import Task


READABLE = ("logits", "embedding", "features", "hidden", *OF_STAGES, "weights")  # of a learner


class Objective(nn.Module, ABC):
    """Anything that turns a step into a scalar."""

    @abstractmethod
    def forward(self, step: Step) -> Tensor:
        """The scalar, with its graph."""

    def foresee(self, step: Step) -> None:
        """Ask the past network what `forward` will ask it, before the learner has a graph in memory."""

    def terms(self) -> list[Term]:
        """The terms it is made of."""
        return [module for module in self.modules() if isinstance(module, Term)]

    def __add__(self, other: Objective) -> Objective:
        return Sum(self, other)

    def __rmul__(self, weight: float | Schedule) -> Objective:
        return Scaled(weight, self)


class Term(Objective):
    """One scalar, asked of one part of the step; 0 while that part is empty or there is no past yet.

    A term may own ``nn.Parameter``s, such as a projector. They are trained by the network's optimiser, kept
    in its state, and no weights of the learner: curvatures and rules do not see them. Where their shape is
    known only with the learner, `begin` makes them, and loading a state makes them as the state has them
    (`FeatureMap` does both). What no later task needs is forgotten in `consolidate`.

    Attributes:
        on: name of the part it is asked of.
        reads: what of the learner its value depends on, of `READABLE`. What it reads and does not
            ask of others it teaches: a term that teaches ``logits`` trains the head.
        asks: what of that another term must teach, so that the value means something.
        views: random views of each image that it needs.
        dim: width of the embedding that it asks for; None takes any.
        needs_past: whether it compares with the past network.
        whole_head: whether it needs a head for every class of the stream from the start; where
            nobody knows them, a head that grows must do.
        needs_rivals: whether it contrasts a task's classes only with each other, so that a task of
            one class teaches it nothing.
        penalty: whether it asks nothing of the data; the log then shows its ratio to the rest.
        label: its name in logs.
        weighs: whether a row of weight w (`holdfast.core.rows.row_weights`) counts as w rows; a term that
            does not say so leaves weights alone.
        holds_backbone: whether the backbone must stay as it is while the present task is learned.
        turns: whether it now asks the batch's images in quarter turns too, as the part ``turned``, whose
            column ``turn`` says how many quarters (1 to 3).
        extra_rows: rows it brings itself, drawn for it as the part ``given``; a protocol must allow
            them.
        mixing: of a term on ``mixed``, how that part's rows are mixed; None takes another term's
            way, or the usual one.
    """

    on: str = "batch"
    reads: tuple[str, ...] = ()
    asks: tuple[str, ...] = ()
    views: int = 1
    dim: int | None = None
    needs_past: bool = False
    whole_head: bool = False
    needs_rivals: bool = False
    penalty: bool = False
    label: str = "term"
    weighs: bool = False
    holds_backbone: bool = False
    turns: bool = False
    extra_rows: Rows | None = None
    mixing: Mixing | None = None

    @property
    def teaches(self) -> tuple[str, ...]:
        """What it reads and asks of no other term."""
        return tuple(column for column in self.reads if column not in self.asks)

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

    def foresee(self, step: Step) -> None:
        """The part's past, for a term that compares with it; it is kept, and asked once all the same."""
        part = step.find(self.on) if self.needs_past and step.has_past else None
        if part is not None:
            part.past  # noqa: B018

    def begin(self, learner: Learner, task: Task) -> None:
        """Prepare for a task; called before its first step."""

    def consolidate(self, learner: Learner, task: Task, past: Learner | None = None) -> None:
        """Keep what the next tasks will need; called once when a task ends.

        Args:
            learner: as it stays: rules that change it (`Rule.adjust`) have done so.
            task: the one that ended.
            past: the network before the task, in eval mode; None in the first.
        """


class Sum(Objective):
    """a + b."""

    def __init__(self, *parts: Objective):
        super().__init__()
        self.parts = nn.ModuleList(parts)

    def forward(self, step: Step) -> Tensor:
        """The sum of the parts."""
        return sum((part(step) for part in self.parts), start=step.zero)

    def foresee(self, step: Step) -> None:
        """That of each part."""
        for part in self.parts:
            part.foresee(step)  # type: ignore[operator]


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

    def foresee(self, step: Step) -> None:
        """What is weighted, while its weight is not 0."""
        if self.weight.at(step.epoch, step.epochs):
            self.of.foresee(step)


def distinct_labels(terms: Sequence[Term]) -> None:
    """Give the terms of one method labels that differ, so that none hides another in the log.

    A label that is taken gets the part it is asked of, and then a number: ``cross_entropy``,
    ``cross_entropy_memory_2``.
    """
    taken: set[str] = set()
    for term in terms:
        label, number = term.label, 2
        if label in taken and term.on != "batch":
            label = f"{term.label}_{term.on}"
        base = label
        while label in taken:
            label, number = f"{base}_{number}", number + 1
        term.label = label
        taken.add(label)
