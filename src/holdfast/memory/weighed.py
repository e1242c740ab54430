"""A memory whose rows carry weights, so that few of them stand for all that came."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from holdfast.core.output import outputs
from holdfast.core.rows import WEIGHT, Rows
from holdfast.memory.leverage import by_priority, leverage_shares, priority_weights
from holdfast.memory.memory import MEMORIES, ClassBalanced, Use

if TYPE_CHECKING:
    from holdfast.learner.learner import Learner
    from holdfast.stream.task import Task

SHARE, PRIORITY = "share", "priority"


class WeighedMemory(ClassBalanced):
    """As many images a class as `ClassBalanced` keeps, drawn by leverage, each with a weight.

    The images of a class and task are those of the largest priority (`by_priority`) by the
    `leverage_shares` of their unit features; weights are scaled to the mean 1, so that a class counts as
    it would in any memory. When its share shrinks, the last go and the others weigh anew. Three numbers
    are noted beside an image. Weights that the images came with are not used. At 20 images and 512
    features the known bounds
    promise nothing: measure.

    Args:
        capacity: images in all.
        use: how they come back into training.
        root: whether shares are roots of leverage scores.

    Source: Woodruff and Yasuda, arXiv 2306.00732, for the shares; weights as of priority sampling
    """

    def __init__(self, capacity: int = 200, use: Use = "pool", root: bool = False):
        super().__init__(capacity, use, "root_leverage" if root else "leverage")
        self.root = root

    def consolidate(self, learner: Learner, task: Task, generator: torch.Generator) -> None:
        """Shrink the old classes' shares, take in the new, and weigh both."""
        nothing = torch.zeros(len(task.train), device=task.train.y.device)
        noted = _with(task.train, nothing, nothing, nothing)
        super().consolidate(learner, replace(task, train=noted), generator)

    def _taken(self, learner: Learner, rows: Rows, keep: int, generator: torch.Generator) -> Rows:
        """New rows by their priority."""
        if not keep or not len(rows):
            return rows[slice(0, 0)]
        features = functional.normalize(outputs(learner, rows).features, dim=1)
        shares = leverage_shares(features, keep, self.root)
        drawn = by_priority(shares, keep, generator)
        columns = (drawn.weight / drawn.weight.mean(), shares[drawn.place], drawn.priority)
        index = drawn.place.to(rows.y.device)
        return _with(rows[index], *(column.float().to(rows.y.device) for column in columns))

    def _shrunk(self, rows: Rows, keep: int) -> Rows:
        """The first of each task, weighed anew where some of it goes."""
        kept = rows[slice(0, keep)]
        weight = kept.extra[WEIGHT].clone()
        for t in kept.task.unique().tolist():
            every, here = rows.extra[PRIORITY][rows.task == t], kept.task == t
            left_out = every[int(here.sum()) :]
            if len(left_out):
                fresh = priority_weights(kept.extra[SHARE][here], left_out)
                weight[here] = fresh / fresh.mean()
        return replace(kept, extra={**kept.extra, WEIGHT: weight})


def _with(rows: Rows, weight: Tensor, share: Tensor, priority: Tensor) -> Rows:
    """Rows with the three columns."""
    return replace(rows, extra={**rows.extra, WEIGHT: weight, SHARE: share, PRIORITY: priority})


MEMORIES.add("leverage", WeighedMemory)
