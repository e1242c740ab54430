"""Readout: how classes are decided from what the learner says of an input."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from holdfast.learner.learner import Learner, Output, outputs

if TYPE_CHECKING:
    from holdfast.memory.memory import Memory
    from holdfast.stream.task import Task

Space = Literal["features", "embedding"]


class Lesson:
    """A task that was just learned, as readouts may see it; what networks say of it is asked once.

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
        """The network's output on the task's training rows."""
        return outputs(self.learner, self.task.train)

    @cached_property
    def past_out(self) -> Output | None:
        """The former network's output on the same rows, if there was one."""
        return None if self.past is None else outputs(self.past, self.task.train)


class Readout(nn.Module, ABC):
    """Scores over all classes seen so far. It is never told the task of an input.

    Attributes:
        uses_images: whether it is trained on stored images.
        needs_past: whether it compares with the network as it was before the task.
        name: as the command line calls it.
    """

    uses_images: bool = False
    needs_past: bool = False
    name: str = "readout"

    def fit(self, lesson: Lesson) -> None:
        """Take in a task that was just learned."""

    @abstractmethod
    def scores(self, out: Output) -> Float[Tensor, "n k"]:
        """(N, K) one score a class seen so far; the largest decides."""

    @torch.no_grad()
    def predict(self, out: Output) -> Tensor:
        """(N,) the class with the largest score: Class-IL inference."""
        return self.scores(out).argmax(1)


class LinearReadout(Readout):
    """Scores x W^T + b on the features or the embedding; a subclass solves for W and b.

    Attributes:
        on: ``features`` or ``embedding``.
        solved: ``weight`` (K, f) and ``bias`` (K,).
    """

    def __init__(self, on: Space = "features"):
        super().__init__()
        self.on: Space = on
        self.solved: dict[str, Tensor] = {}

    def scores(self, out: Output) -> Float[Tensor, "n k"]:
        """X W^T + b."""
        return getattr(out, self.on) @ self.solved["weight"].T + self.solved["bias"]
