"""Contrast as terms of a method: SupCon and FNC2 of a batch (docs/theory.md, sections 3 and 5)."""

from __future__ import annotations

from typing import get_args

from torch import Tensor

from holdfast.core.step import Part, Step
from holdfast.learner.prototype import Frame
from holdfast.loss.checks import require_gamma, require_option, require_positive
from holdfast.loss.contrast import Average, Denominator, focal_means, sup_con
from holdfast.loss.term import Term


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
    """FNC2 towards a fixed frame, with the old classes' prototypes as pseudo-replay.

    Args:
        frame: the prototypes, shared with the anchors and the readout.
        tau: temperature.
        gamma: focal exponent.
        old_prototypes: whether prototypes of old classes repel.
        denominator: ``closed`` or ``open``.
        scale: factor on the loss.
        average: over anchors or rows.
    """

    label = "fnc2"
    reads = ("embedding",)
    views = 2

    def __init__(
        self,
        frame: Frame,
        tau: float = 0.5,
        gamma: float = 1.0,
        old_prototypes: bool = True,
        denominator: Denominator = "closed",
        scale: float = 1.0,
        average: Average = "anchors",
    ):
        super().__init__()
        require_option("average", average, get_args(Average))
        require_option("denominator", denominator, get_args(Denominator))
        self.frame, self.old_prototypes = frame, old_prototypes
        self.tau, self.gamma = require_positive(tau, "tau"), require_gamma(gamma)
        self.denominator: Denominator = denominator
        self.average: Average = average
        self.scale, self.dim = scale, frame.dim

    def value(self, part: Part, step: Step) -> Tensor:
        """FNC2 of the part's embeddings, anchored at the new rows; notes the mean focal weight."""
        old = step.old_classes if self.old_prototypes else ()
        rows, new = (part.out.embedding, part.rows.y), part.rows.task == step.task
        focus = (self.tau, self.gamma, old, new, self.denominator, self.average)
        loss, weight = focal_means(*rows, self.frame.vectors, *focus)
        step.record("focal_weight", weight)
        return self.scale * loss
