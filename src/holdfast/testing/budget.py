"""The law of what a recipe may spend: forward passes of the network that learns, and of the past one."""

from __future__ import annotations

from holdfast.loss.term import Term
from holdfast.testing.streams import TASKS
from holdfast.testing.subject import Subject


def forward_budget(subject: Subject) -> None:
    """A step costs one pass of the learner for its batch and for each drawn part, where a term asks it;
    from the second task on at most one of the past network for each part that a term compares, and none
    in the first.
    """
    if subject.method.freezes:
        first_task_alone(subject)  # no term to ask
        return
    terms, costs = subject.method.terms, subject.watched.costs
    terms = [term for term in terms if term.reads != ("weights",)]
    compared = {_rows_of(term) for term in terms if term.needs_past}
    asked = {_rows_of(term) for term in terms if not term.needs_past}
    trained = {task for task in range(TASKS) if subject.method.trains(task)}
    subject.expect({cost.task for cost in costs} == trained, "a task had no step, or one too many")
    for cost in costs:
        words = f"a step of task {cost.task + 1} costs"
        due = len({*cost.parts} & (asked | compared if cost.task else asked))
        learner = f"{words} {cost.learner} passes of the learner, not {due}"
        subject.expect(cost.learner == due, learner)
        most = len(compared & {*cost.parts}) if cost.task else 0
        past = f"{words} {cost.past} passes of the past network, and {most} are enough"
        subject.expect(cost.past <= most, past)


def _rows_of(term: Term) -> str:
    """The part whose pass a term's rows are in: new and old rows are the batch's."""
    return "batch" if term.on in ("new", "old") else term.on


def first_task_alone(subject: Subject) -> None:
    """A method without a loss has an epoch only where the first task adapts, with a pass a batch."""
    watched, adapts = subject.watched, subject.method.adapts
    training, rows = subject.setup.training, len(watched.stream[0].train)
    due = [-(-rows // training.batch)] * (training.epochs_of(0) if adapts else 0)
    epochs = [place for place in watched.events if "end" not in place]
    subject.expect(
        epochs == [f"epoch {e + 1} of task 1" for e in range(len(due))],
        f"a method that trains in {'the first task alone' if adapts else 'no task'} had {epochs}",
    )
    passes = [watched.passes[watched.events.index(place)] for place in epochs]
    subject.expect(passes == due, f"the epochs of task 1 cost {passes} passes, not {due}")
