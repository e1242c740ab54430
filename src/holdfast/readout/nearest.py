"""Nearest prototype and nearest class mean."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from holdfast.learner.learner import Output
from holdfast.learner.prototype import Frame
from holdfast.readout.readout import Lesson, Readout, Space
from holdfast.tally import add_by_class


class NearestPrototype(Readout):
    """argmax_k z.q_k over the frame's vectors of the classes seen: nothing is stored."""

    name = "prototype"

    def __init__(self, frame: Frame):
        super().__init__()
        self.frame, self.seen = frame, 0

    def fit(self, lesson: Lesson) -> None:
        """Only the number of classes is needed."""
        self.seen = lesson.classes

    def scores(self, out: Output) -> Float[Tensor, "n k"]:
        """z.q_k."""
        return out.embedding @ self.frame.vectors[: self.seen].T

    def get_extra_state(self) -> int:
        """How many classes were seen."""
        return self.seen

    def set_extra_state(self, state: int) -> None:
        """Take over their number."""
        self.seen = state


class NearestMean(Readout):
    """argmax_k cos(x, mean_k) over streaming class means of unit rows; (K, f) floats are stored.

    Args:
        on: ``features`` or ``embedding``.
    """

    name = "mean"

    def __init__(self, on: Space = "features"):
        super().__init__()
        self.on: Space = on
        self.sums: Tensor = torch.zeros(0, 0)

    def fit(self, lesson: Lesson) -> None:
        """Add the task's rows to their classes' sums; a class that comes again is merged."""
        x = functional.normalize(getattr(lesson.out, self.on), dim=1)
        self.sums = add_by_class(self.sums, x, lesson.task.train.y, lesson.classes)

    def scores(self, out: Output) -> Float[Tensor, "n k"]:
        """Cosine with each class mean."""
        x = functional.normalize(getattr(out, self.on), dim=1)
        return x @ functional.normalize(self.sums, dim=1).T

    def get_extra_state(self) -> Tensor:
        """The class sums."""
        return self.sums

    def set_extra_state(self, state: Tensor) -> None:
        """Take over class sums."""
        self.sums = state
