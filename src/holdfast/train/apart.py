"""Backward passes: one of the whole loss, or one of the task's loss and one of what the anchors add."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from holdfast.anchor.rule import Named
from holdfast.core.ranks import current

if TYPE_CHECKING:
    from holdfast.train.continual import Continual
    from holdfast.train.loop import Trainer


def backward(core: Continual, trainer: Trainer, loss: Tensor, retain_graph: bool = False) -> None:
    """Give every weight the gradient of a loss; of several processes, the mean of theirs.

    Args:
        core: that learns.
        trainer: of its task.
        loss: the scalar.
        retain_graph: whether another backward pass through its graph will come.
    """
    trainer.wrapped.zero_grad()
    core.fabric.backward(loss, retain_graph=retain_graph)
    ranks = current()
    if ranks is not None:
        ranks.mean(p.grad for p in trainer.weights if p.grad is not None)


def backward_apart(
    core: Continual, trainer: Trainer, values: Sequence[Tensor]
) -> tuple[Named, Named]:
    """The gradients of the first value and of the sum of the others; every weight gets the sum of both.

    The first value is the task's loss, the others are what the anchors add to it.

    Args:
        core: that learns.
        trainer: of its task.
        values: of the trainer's objectives, in their order.

    Returns:
        by name, for each weight of the learner that one of the two reaches. Weights that terms bring
        themselves are not among them.
    """
    anchors = [value for value in values[1:] if value.requires_grad]
    pair: list[dict[torch.nn.Parameter, Tensor]] = []
    for loss in (values[0], sum(anchors[1:], start=anchors[0]) if anchors else None):
        trainer.wrapped.zero_grad()
        if loss is not None and loss.requires_grad:
            backward(core, trainer, loss, retain_graph=bool(anchors) and not pair)
        pair.append({p: p.grad for p in trainer.weights if p.grad is not None})
    reached = [p for p in trainer.weights if p in pair[0] or p in pair[1]]
    for each in pair:
        each |= {p: torch.zeros_like(p) for p in reached if p not in each}
    for p in reached:
        p.grad = pair[0][p] + pair[1][p]
    names = [(name, p) for name, p in core.learner.named_parameters() if p in pair[0]]
    first, second = ({name: each[p] for name, p in names} for each in pair)
    return first, second
