"""The learner's own head as the readout."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from holdfast.learner.learner import Output
from holdfast.readout.readout import Lesson, Readout


class Head(Readout):
    """argmax of the trained logits of the classes seen: nothing is stored."""

    name = "head"
    needs_head = True

    def __init__(self):
        super().__init__()
        self.seen: int | None = None

    def fit(self, lesson: Lesson) -> None:
        """Only the number of classes is needed: a head may be wider from the start."""
        self.seen = lesson.classes

    def scores(self, out: Output) -> Float[Tensor, "n k"]:
        """The logits."""
        return out.logits[:, : self.seen]

    def get_extra_state(self) -> int | None:
        """How many classes were seen."""
        return self.seen

    def set_extra_state(self, state: int | None) -> None:
        """Take over their number."""
        self.seen = state
