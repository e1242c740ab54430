"""The law of norms that a method holds: after the first task they stay, bit for bit."""

from __future__ import annotations

from torch import nn

from holdfast.learner.adapt import NORMS
from holdfast.testing.compare import difference
from holdfast.testing.subject import Subject


def norms_stay_where_held(subject: Subject) -> None:
    """Of a method that holds its norms, they are the same bit for bit from the end of the first task on."""
    kind = subject.method.hold_norms
    if kind == "none":
        return
    learner, watched = subject.watched.run.learner, subject.watched
    names = norm_names(learner, kind == "all")
    first = watched.events.index("the end of task 1")
    kept = [{n: state["learner"][n] for n in names} for state in watched.states[first:]]
    for words, values in zip(watched.events[first:], kept):
        place = difference(kept[0], values)
        subject.expect(not place, f"a norm that is held moved in {words}: {place}")


def norm_names(learner: nn.Module, affine: bool) -> list[str]:
    """Names in a learner's state of the running statistics of its norms, or of all that they have."""
    return [
        f"{path}.{name}"
        for path, module in learner.named_modules()
        if isinstance(module, NORMS)
        for name in module.state_dict()
        if affine or name not in ("weight", "bias")
    ]
