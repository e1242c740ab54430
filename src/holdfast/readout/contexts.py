"""What a readout is fitted to: a task that was just learned, whole or in part."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from jaxtyping import Int
from torch import Tensor

from holdfast.core.output import Output, outputs
from holdfast.learner.learner import Learner
from holdfast.statistics.tracker import check_finite

if TYPE_CHECKING:
    from holdfast.memory.memory import Memory
    from holdfast.stream.task import Task


class FitContext:
    """A task that was just learned, as readouts may see it; each network passes over it once.

    Args:
        learner: the network as it is now.
        task: the task.
        memory: stored images, if the protocol allows any.
        seen: all classes so far.
        past: the network as it was before the task, for a readout that ``needs_past``.
    """

    def __init__(
        self,
        learner: Learner,
        task: Task,
        memory: Memory,
        seen: tuple[int, ...],
        past: Learner | None = None,
    ):
        self.learner, self.task, self.memory, self.past = learner, task, memory, past
        self.classes = max(seen) + 1

    @cached_property
    def out(self) -> Output:
        """The network's output on the task's training rows (DivergedError if it is not finite)."""
        out = outputs(self.learner, self.task.train)
        check_finite(out.features, self.task, "features")
        return out

    @cached_property
    def past_out(self) -> Output | None:
        """The former network's output on the same rows, if there was one."""
        return None if self.past is None else outputs(self.past, self.task.train)


class ChangedContext(FitContext):
    """A task whose outputs are seen changed; no network is asked again.

    Args:
        whole: the task.
        change: of an output of either network: fewer rows, or fewer features.
        task: with the training rows that are left, if they are fewer.
    """

    def __init__(
        self, whole: FitContext, change: Callable[[Output], Output], task: Task | None = None
    ):
        task = task or whole.task
        super().__init__(whole.learner, task, whole.memory, (whole.classes - 1,), whole.past)
        self.whole, self.change = whole, change

    @cached_property
    def out(self) -> Output:
        """Changed."""
        return self.change(self.whole.out)

    @cached_property
    def past_out(self) -> Output | None:
        """Changed."""
        past = self.whole.past_out
        return None if past is None else self.change(past)


def portion(whole: FitContext, index: Int[Tensor, " m"]) -> ChangedContext:
    """Some rows of a task alone.

    Args:
        whole: the task.
        index: of the rows.
    """
    task = replace(whole.task, train=whole.task.train[index])
    return ChangedContext(whole, lambda out: out.rows(index), task)
