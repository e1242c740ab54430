"""Importance: how much each weight mattered to a task, whatever it is measured by."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor, nn

from holdfast.curvature.layout import Layout, layout_of
from holdfast.curvature.matrix import Diagonal, Matrix
from holdfast.curvature.persample import weights_of

if TYPE_CHECKING:
    from holdfast.learner.learner import Learner
    from holdfast.stream.task import Task


class Importance(nn.Module, ABC):
    """How much each weight mattered to a task: the H of 1/2 (w-w0)^T H (w-w0).

    Attributes:
        parts: of the learner that it covers.
        summed: whether H is a sum over the task's images, to be set against a mean loss over others.
        reads: what of the learner's output it is measured on, without teaching it.
        structure: what of H is kept.
    """

    structure: str = "diagonal"
    parts: tuple[str, ...] = ("backbone", "head")
    summed: bool = False
    reads: tuple[str, ...] = ()

    def layout(self, learner: nn.Module, norm: bool = True) -> Layout:
        """The weights it covers."""
        return layout_of(learner, self.parts, norm)

    @abstractmethod
    def measure(self, learner: Learner, task: Task, layout: Layout) -> Matrix:
        """H at the learner's present weights."""

    def gradient(self, learner: Learner, task: Task, layout: Layout) -> Float[Tensor, " p"] | None:
        """(P,) gradient of the loss whose curvature H is; None if it is of none."""
        return None


class Unit(Importance):
    """H = I: every covered weight matters alike."""

    def measure(self, learner: Learner, task: Task, layout: Layout) -> Diagonal:
        """Ones."""
        return Diagonal(layout, torch.ones_like(layout.flat(weights_of(learner))))
