"""Readout: how classes are decided from what the learner says of an input."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from holdfast.learner.learner import Learner, Output

if TYPE_CHECKING:
    from holdfast.memory.memory import Memory
    from holdfast.stream.task import Task

Space = Literal["features", "embedding"]


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

    def fit(
        self,
        learner: Learner,
        task: Task,
        memory: Memory,
        seen: tuple[int, ...],
        past: Learner | None = None,
    ) -> None:
        """Take in a task that was just learned.

        Args:
            learner: the network as it is now.
            task: the task.
            memory: stored images, if the protocol allows any.
            seen: all classes so far.
            past: the network as it was before the task, for a readout that ``needs_past``.
        """

    @abstractmethod
    def scores(self, out: Output) -> Float[Tensor, "n k"]:
        """(N, K) one score a class seen so far; the largest decides."""

    @torch.no_grad()
    def predict(self, out: Output) -> Tensor:
        """(N,) the class with the largest score: Class-IL inference."""
        return self.scores(out).argmax(1)
