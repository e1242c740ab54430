"""What the figures say, in plain words; a figure that is missing says nothing."""

from __future__ import annotations

from collections.abc import Iterator

from holdfast import metrics
from holdfast.diagnose.moment import Moment, Values
from holdfast.metrics.plasticity import Balance, balance


def sentences(moment: Moment, values: Values, task_il: Balance) -> list[str]:
    """Sentences for the failure signatures (docs/theory.md, section 15.8).

    Args:
        moment: the end of a task.
        values: its figures.
        task_il: plasticity against stability in Task-IL.
    """
    return [*_invasion(moment), *_lost(values), *_anchor(moment, task_il), *_radius(moment, values)]


def _points(share: float) -> str:
    return f"{100 * share:.1f} points"


def _invasion(moment: Moment) -> Iterator[str]:
    """Signature 1."""
    if not moment.old or not moment.new:
        return
    seen = moment.seen
    x, y = moment.now.features[seen], moment.y[seen]
    some = metrics.invasion(x, y, moment.old, moment.new, pairwise=True)
    if some.signature is None:
        return
    excess = _points(some.across - some.within_new)
    both = (
        f"{100 * some.across:.1f} % of pairs of a row and a class of the other side against "
        f"{100 * some.within_new:.1f} % within the new task"
    )
    yield (
        f"signature 1, invasion: old and new classes run into each other, {both}, {excess} more "
        f"(two standard errors: {_points(2 * some.error)}): the features do not keep the tasks apart."
        if some.signature
        else f"no invasion: {both}."
    )


def _lost(values: Values) -> Iterator[str]:
    """Which part of what was lost is still in the representation."""
    a, b, c = (values[name] for name in ("accuracy_old", "probe_old", "probe_then"))
    if a != a or b != b or c != c:
        return
    if c - a < 0.02:
        lost = _points(max(c - a, 0))
        yield f"old tasks: nothing to speak of is lost ({lost} of what a probe could read)."
        return
    part = "readout" if b - a > c - b else "representation"
    yield (
        f"old tasks: {_points(c - a)} lost since they were learned, {_points(c - b)} by the "
        f"representation and {_points(b - a)} by the readout: mend the {part} first."
    )


def _anchor(moment: Moment, task_il: Balance) -> Iterator[str]:
    """Signature 3, in Task-IL, where old and new tasks compete with as many classes."""
    F, error = task_il.forgetting, task_il.forgetting_error
    if F != F or error != error:
        return
    kind = task_il.anchor
    both = f"forgetting {_points(F)}, intransigence {_points(task_il.intransigence)}, in Task-IL"
    words = {
        "too little": f"signature 3, too little anchor: {both}: new tasks are learned, old ones go.",
        "too much": f"signature 3, too much anchor: {both}: old tasks stay, new ones are not learned.",
        "both": f"signature 3, neither: {both}: more or less anchor will not do, look at the "
        "representation and the readout.",
        "neither": f"the anchor fits: {both}.",
    }
    if kind:
        yield words[kind] + f" (Two standard errors by the test rows: {_points(2 * error)}.)"
    elif 2 * error < F:
        yield (
            f"forgetting of {_points(F)} in Task-IL (two standard errors by the test rows: "
            f"{_points(2 * error)}). Whether the anchor is too weak, a run that was free to learn can "
            "say: holdfast diagnose RUN --against RUN_OF_FINETUNE."
        )


def _radius(moment: Moment, values: Values) -> Iterator[str]:
    """Whether a quadratic prior is used within its range."""
    ratio = values["moved_over_radius"]
    if moment.method is None or ratio != ratio or "quadratic" not in moment.method.penalties:
        return
    if ratio > 1:
        yield (
            f"the weights moved {ratio:.1f} times as far as the old loss is quadratic: the prior is used "
            "outside its range."
        )


def kept(moment: Moment) -> tuple[Values, Balance]:
    """Plasticity against stability after a task, and the whole balance in Task-IL."""
    mine = balance(moment.class_il, sizes=moment.sizes)
    within = balance(moment.task_il, moment.reference, moment.sizes)
    values = {
        "plasticity": mine.plasticity,
        "stability": mine.stability,
        "forgetting": mine.forgetting,
        "forgetting_task_il": within.forgetting,
        "intransigence": within.intransigence,
    }
    return values, within
