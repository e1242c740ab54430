"""Readout: how classes are decided from what the learner says of an input."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from typing import TYPE_CHECKING, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from holdfast.errors import ConfigError, unknown
from holdfast.learner.learner import Learner, Output, outputs

if TYPE_CHECKING:
    from holdfast.memory.memory import Memory
    from holdfast.stream.task import Task

Space = Literal["features", "hidden", "embedding"]
SPACES: tuple[Space, ...] = get_args(Space)


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

    Args:
        on: what is read of an output: ``features``, ``hidden`` (of the projector) or ``embedding``.

    Attributes:
        uses_images: whether it is trained on stored images.
        needs_past: whether it compares with the network as it was before the task.
        needs_head: whether it asks a head that was trained.
        needs_frame: whether its first argument is the method's prototypes.
        name: as the command line calls it.
        temperature: of `probabilities`.
        residuals: of each drift map it fitted (`DriftMap.residual`).

    Raises:
        ConfigError: for an unknown space.
    """

    uses_images: bool = False
    needs_past: bool = False
    needs_head: bool = False
    needs_frame: bool = False
    name: str = "readout"

    def __init__(self, on: Space = "features"):
        super().__init__()
        if on not in SPACES:
            raise unknown("feature space", on, SPACES)
        self.on: Space = on
        self.temperature = 1.0
        self.residuals: list[float | None] = []

    def fit(self, lesson: Lesson) -> None:
        """Take in a task that was just learned."""

    @abstractmethod
    def scores(self, out: Output) -> Float[Tensor, "n k"]:
        """(N, K) one score a class seen so far; the largest decides."""

    def see(self, out: Output) -> Float[Tensor, "n f"]:
        """What it reads of an output."""
        seen = getattr(out, self.on)
        if seen is None:
            raise ConfigError(f"this learner has no {self.on} to read: use on=features.")
        return seen

    @torch.no_grad()
    def predict(self, out: Output) -> Tensor:
        """(N,) the class with the largest score: Class-IL inference."""
        return self.scores(out).argmax(1)

    @torch.no_grad()
    def probabilities(self, out: Output) -> Float[Tensor, "n k"]:
        """(N, K) softmax(scores / temperature)."""
        return self.calibrated(self.scores(out))

    def calibrated(self, scores: Float[Tensor, "n k"]) -> Float[Tensor, "n k"]:
        """(N, K) probabilities of these scores."""
        return torch.softmax(scores / self.temperature, 1)


class LinearReadout(Readout):
    """Scores x W^T + b; a subclass solves for W and b.

    Attributes:
        solved: ``weight`` (K, f) and ``bias`` (K,).
    """

    def __init__(self, on: Space = "features"):
        super().__init__(on)
        self.solved: dict[str, Tensor] = {}

    def scores(self, out: Output) -> Float[Tensor, "n k"]:
        """X W^T + b."""
        return self.see(out) @ self.solved["weight"].T + self.solved["bias"]
