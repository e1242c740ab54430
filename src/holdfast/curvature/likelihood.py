"""Likelihood: whose logarithm a curvature is the curvature of; a contrastive loss must name one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from holdfast.errors import ConfigError
from holdfast.learner.prototype import Frame

if TYPE_CHECKING:
    from holdfast.learner.learner import Output
    from holdfast.stream.task import Task


class Likelihood(nn.Module, ABC):
    """p(class | x) = softmax of some logits of the learner.

    Attributes:
        parts: of the learner that it depends on.
        needs_head: whether the head is one of them.
    """

    parts: tuple[str, ...] = ("backbone", "head")
    needs_head: bool = True

    @abstractmethod
    def logits(self, out: Output, task: Task) -> Float[Tensor, "n k"]:
        """The logits of the classes that compete."""

    def places(self, y: Int[Tensor, " n"], task: Task) -> Int[Tensor, " n"]:
        """The column of each label among those logits."""
        return y


class HeadSoftmax(Likelihood):
    """Softmax of the head, as `CrossEntropy` has it.

    Args:
        classes: ``seen``: every row of the head, which grows with the classes; ``new``: the
            task's own.
    """

    def __init__(self, classes: Literal["new", "seen"] = "seen"):
        super().__init__()
        self.classes = classes

    def logits(self, out: Output, task: Task) -> Tensor:
        """(N, K) columns of the head."""
        return out.logits if self.classes == "seen" else out.logits[:, list(task.classes)]

    def places(self, y: Tensor, task: Task) -> Tensor:
        """The label itself, or its place among the task's classes."""
        if self.classes == "seen":
            return y
        return torch.searchsorted(torch.tensor(sorted(task.classes), device=y.device), y)


class FrameSoftmax(Likelihood):
    """Softmax over z.q_k / tau, the likelihood that a contrastive method with prototypes implies.

    Args:
        frame: the prototypes q_k; the classes up to the newest compete.
        tau: temperature, > 0.
    """

    parts = ("backbone", "projector")
    needs_head = False

    def __init__(self, frame: Frame, tau: float = 0.1):
        super().__init__()
        if not tau > 0:
            raise ConfigError(f"a likelihood's tau must be positive, not {tau}.")
        self.frame, self.tau = frame, tau

    def logits(self, out: Output, task: Task) -> Tensor:
        """(N, K) similarities to the prototypes of the classes so far."""
        keys = self.frame.vectors[: max(task.classes) + 1].to(out.embedding)
        return out.embedding @ keys.T / self.tau
