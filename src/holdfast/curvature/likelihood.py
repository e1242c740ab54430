"""Likelihood: whose logarithm a curvature is the curvature of; a contrastive loss must name one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Literal, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from holdfast.core.errors import DataError
from holdfast.learner.prototype import Frame
from holdfast.loss.checks import require_option, require_positive

if TYPE_CHECKING:
    from holdfast.core.output import Output
    from holdfast.stream.task import Task


Competing = Literal["new", "seen"]


class Likelihood(nn.Module, ABC):
    """p(class | x) = softmax of some logits of the learner.

    Attributes:
        parts: of the learner that it depends on.
        reads: the column of the learner's output that the logits are made of.
    """

    parts: tuple[str, ...] = ("backbone", "head")
    reads: tuple[str, ...] = ("logits",)

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

    Raises:
        ConfigError: for another set of classes.
    """

    def __init__(self, classes: Competing = "seen"):
        super().__init__()
        require_option("set of classes", classes, get_args(Competing))
        self.classes = classes

    def logits(self, out: Output, task: Task) -> Tensor:
        """(N, K) columns of the head."""
        return out.logits if self.classes == "seen" else out.logits[:, list(task.classes)]

    def places(self, y: Tensor, task: Task) -> Tensor:
        """The label itself, or its place among the task's classes."""
        if self.classes == "seen":
            return y
        same = y[:, None] == torch.tensor(task.classes, device=y.device)
        if not bool(same.any(1).all()):
            strange = sorted({*y.tolist()} - {*task.classes})
            raise DataError(f"the classes {strange} are not among the task's {list(task.classes)}.")
        return same.int().argmax(1)


class FrameSoftmax(Likelihood):
    """Softmax over z.q_k / tau, the likelihood that a contrastive method with prototypes implies.

    Args:
        frame: the prototypes q_k; those of all classes that the head has rows for compete, so that
            no class is lost where old ones come again.
        tau: temperature, > 0.

    Raises:
        ConfigError: if tau is not positive.
    """

    parts = ("backbone", "projector")
    reads = ("embedding",)

    def __init__(self, frame: Frame, tau: float = 0.1):
        super().__init__()
        self.frame, self.tau = frame, require_positive(tau, "tau")

    def logits(self, out: Output, task: Task) -> Tensor:
        """(N, K) similarities to the prototypes of the classes so far."""
        known = max(max(task.classes) + 1, out.logits.shape[1])
        keys = self.frame.vectors[:known].to(out.embedding)
        return out.embedding @ keys.T / self.tau
