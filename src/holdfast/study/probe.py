"""How large the gradients of a run are where they are compared: the loss's, and the anchors'."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from holdfast.compare.plan import Job
from holdfast.compare.work import prepared
from holdfast.core.step import Step
from holdfast.loss.term import Objective
from holdfast.recipes.method import Method
from holdfast.study.design import Place


class _Seen(Exception):  # noqa: N818  it ends a run that has shown enough
    """What was looked for has been seen."""


class _Watch(Objective):
    """Adds nothing to the loss, and notes the lengths of the gradients of others.

    Args:
        loss: the method's.
        anchors: the method's objectives beside it.
        of: ``loss`` at the first step of all, ``anchors`` over the first epoch with a past network.
    """

    def __init__(self, loss: Objective, anchors: Sequence[Objective], of: str):
        super().__init__()
        self._others = (loss, tuple(anchors))  # not modules of this one: they are the method's own
        self.of = of
        self.noted: list[tuple[float, float]] = []

    def forward(self, step: Step) -> Tensor:
        """0; notes, and ends the run when it has seen enough."""
        loss, anchors = self._others
        if self.of == "anchors" and not step.has_past:
            return step.zero
        if step.task > 1 or step.epoch > 0:
            raise _Seen
        value = sum((anchor(step) for anchor in anchors), start=step.zero)
        self.noted.append((length(loss(step), step), length(value, step)))
        if self.of == "loss":
            raise _Seen
        return step.zero


def length(value: Tensor, step: Step) -> float:
    """The length of a scalar's gradient in the learner's weights; 0 where it depends on none."""
    assert step.learner is not None
    weights = [w for w in step.learner.parameters() if w.requires_grad]
    if not value.requires_grad:
        return 0.0
    slopes = torch.autograd.grad(value, weights, retain_graph=True, allow_unused=True)
    return math.sqrt(sum(float(g.square().sum()) for g in slopes if g is not None))


def gradient(job: Job, of: Place) -> float:
    """The length of the loss's gradient at the first step, or the mean ratio of the anchors' to it.

    The run is begun for that, with the job's own seed, and left: nothing is written.

    Args:
        job: a run of a method with a loss.
        of: ``anchors`` looks at the first epoch of the second task, when there is a past network.

    Returns:
        nan for a method without a loss.
    """
    work = prepared(job, lambda method: _watched(method, of))
    watch = work.continual.method.objectives[-1]
    if not isinstance(watch, _Watch):
        return math.nan
    try:
        for event in work.events():
            if event.task == 1:
                break
    except _Seen:
        pass
    noted = watch.noted
    if not noted:
        return math.nan
    if of == "loss":
        return noted[0][0]
    return sum(anchor / loss for loss, anchor in noted if loss) / len(noted)


def _watched(method: Method, of: str) -> Method:
    """The method with one that notes; as it is where there is no loss."""
    if method.loss is None:
        return method
    anchors = [part for part in method.objectives if part is not method.loss]
    return replace(method, anchors=[*method.anchors, _Watch(method.loss, anchors, of)])
