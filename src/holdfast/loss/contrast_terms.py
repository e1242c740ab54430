"""Contrast as terms of a method: SupCon and FNC2 of a batch (docs/theory.md, sections 3 and 5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from torch import Tensor

from holdfast.core.constants import class_index
from holdfast.core.errors import ConfigError
from holdfast.core.step import Part, Step
from holdfast.learner.prototype import Frame
from holdfast.loss.checks import require_gamma, require_option, require_positive
from holdfast.loss.contrast import Average, Denominator, focal_means, sup_con
from holdfast.loss.contrast_pulls import BOTH, Pulls
from holdfast.loss.term import Term

if TYPE_CHECKING:
    from holdfast.learner.learner import Learner
    from holdfast.stream.task import Task


class SupCon(Term):
    """Supervised contrast; asymmetric: rows of the current task are the only anchors."""

    label = "sup_con"
    reads = ("embedding",)
    views = 2

    def __init__(
        self,
        tau: float = 0.5,
        scale: float = 1.0,
        average: Average = "anchors",
        dim: int | None = None,
    ):
        super().__init__()
        require_option("average", average, get_args(Average))
        self.tau, self.scale, self.dim = require_positive(tau, "tau"), scale, dim
        self.average: Average = average

    def value(self, part: Part, step: Step) -> Tensor:
        """SupCon of the part's embeddings, anchored at the new rows."""
        new = part.rows.task == step.task
        return sup_con(part.out.embedding, part.rows.y, self.tau, new, self.scale, self.average)


class FocalCollapse(Term):
    """FNC2 towards a frame, with the old classes' prototypes as pseudo-replay.

    A frame that the data move (`PrototypeBank`) sees the new rows after the loss of a step was read.

    Args:
        frame: the prototypes, shared with the anchors and the readout.
        tau: temperature.
        gamma: focal exponent.
        old_prototypes: whether prototypes of old classes repel.
        denominator: ``closed`` or ``open``.
        scale: factor on the loss.
        average: over anchors or rows.
        pulls: which pulls act, and the exponent of the prototype's.
        misplaced: whether old classes repel from vertices that stand for no class (`Frame.opposite`):
            as much room is kept, in wrong places; a control, not a method.

    Raises:
        ConfigError: for a value outside its range, an unknown option, or misplaced prototypes of which
            none repels.
    """

    label = "fnc2"
    reads = ("embedding",)
    views = 2
    pulls: Pulls = BOTH
    misplaced: bool = False

    def __init__(
        self,
        frame: Frame,
        tau: float = 0.5,
        gamma: float = 1.0,
        old_prototypes: bool = True,
        denominator: Denominator = "closed",
        scale: float = 1.0,
        average: Average = "anchors",
        pulls: Pulls = BOTH,
        misplaced: bool = False,
    ):
        super().__init__()
        require_option("average", average, get_args(Average))
        require_option("denominator", denominator, get_args(Denominator))
        self.frame, self.old_prototypes = frame, old_prototypes
        self.tau, self.gamma = require_positive(tau, "tau"), require_gamma(gamma)
        self.denominator: Denominator = denominator
        self.average: Average = average
        self.scale, self.dim = scale, frame.dim
        if misplaced and not old_prototypes:
            raise ConfigError("misplaced prototypes need old_prototypes=yes: none repels now.")
        if pulls != BOTH:  # what is as ever stands in no run's settings
            self.pulls = pulls
        if misplaced:
            self.misplaced = misplaced

    def value(self, part: Part, step: Step) -> Tensor:
        """FNC2 of the part's embeddings, anchored at the new rows; notes the mean focal weight."""
        z, y, new = part.out.embedding, part.rows.y, part.rows.task == step.task
        vectors = self.frame.vectors
        if self.frame.moves:
            vectors = step.once(self, lambda: self._observed(z.detach()[new], y[new], step))
        old = self._repelling(step, z)
        focus = (self.tau, self.gamma, old, new, self.denominator, self.average, self.pulls)
        loss, weights = focal_means(z, y, vectors, *focus)
        for name, weight in weights.items():
            step.record(name, weight)
        return self.scale * loss

    def _observed(self, z: Tensor, y: Tensor, step: Step) -> Tensor:
        """Prototypes as they were before rows moved them, once an update."""
        before = self.frame.vectors.clone()
        self.frame.observe(z, y)
        step.record("bank_nc2", self.frame.unevenness(max(len(step.seen), 2)))
        return before

    def _repelling(self, step: Step, z: Tensor) -> Tensor:
        """Places in the frame that repel."""
        old = class_index(step.old_classes if self.old_prototypes else (), z.device)
        if not self.misplaced:
            return old
        if 2 * (max(step.seen) + 1) > len(self.frame):
            raise ConfigError(
                f"misplaced prototypes of {max(step.seen) + 1} classes need a frame of twice as many "
                f"vertices, and this one has {len(self.frame)}: use classes=0, or a larger dim."
            )
        return self.frame.opposite(old)

    def consolidate(self, learner: Learner, task: Task, past: Learner | None = None) -> None:
        """Let the frame end the task."""
        self.frame.settle(learner, task, past)
