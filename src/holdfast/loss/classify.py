"""Cross-entropy over the new, the seen, or all classes."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from jaxtyping import Float, Shaped
from torch import Tensor
from torch.nn import functional

from holdfast.core.constants import class_index
from holdfast.core.numerics import at_least_float32
from holdfast.core.rows import row_weights
from holdfast.core.step import Part, Step
from holdfast.loss.checks import require_option
from holdfast.loss.term import Term

Competing = Literal["new", "seen", "all"]


class CrossEntropy(Term):
    """Softmax cross-entropy of the head.

    A row with a weight (`holdfast.core.rows.row_weights`) counts as so many rows.

    Args:
        classes: which logits compete: ``new`` (the task's own), ``seen`` (all so far), or ``all``
            (the head is made for every class of the stream before the first task, if they are
            known; else they are those so far).
        on: the part it is asked of.

    Raises:
        ConfigError: for another set of classes.
    """

    label = "cross_entropy"
    reads = ("logits",)
    weighs = True

    def __init__(self, classes: Competing = "seen", on: str = "batch"):
        super().__init__()
        require_option("set of classes", classes, get_args(Competing))
        self.classes, self.on = classes, on
        self.whole_head, self.needs_rivals = classes == "all", classes == "new"

    def value(self, part: Part, step: Step) -> Tensor:
        """Mean over the rows whose class competes, each as often as it weighs; 0 if there is none."""
        logits, y = at_least_float32(part.out.logits), part.rows.y
        weight = row_weights(part.rows)
        if self.classes == "all":
            if weight is None:
                return functional.cross_entropy(logits, y)
            return weighted_mean(functional.cross_entropy(logits, y, reduction="none"), weight)
        compete = step.classes if self.classes == "new" else step.seen
        index = class_index(compete, y.device)
        place = torch.full((logits.shape[1],), -1, device=y.device)
        y = place.index_copy(0, index, torch.arange(len(index), device=y.device))[y]
        if weight is not None:
            each = functional.cross_entropy(logits[:, index], y, ignore_index=-1, reduction="none")
            return weighted_mean(each, weight * (y >= 0))
        total = functional.cross_entropy(logits[:, index], y, ignore_index=-1, reduction="sum")
        return total / (y >= 0).sum().clamp_min(1)


def weighted_mean(values: Float[Tensor, "*n"], weight: Shaped[Tensor, "*n"]) -> Float[Tensor, ""]:
    """sum_i w_i v_i / sum_i w_i; 0 where all weights are 0.

    Args:
        values: v.
        weight: w, at least 0.

    >>> weighted_mean(torch.tensor([1.0, 4.0]), torch.tensor([2.0, 1.0]))
    tensor(2.)
    """
    weight = weight.to(values)
    total = weight.sum()
    return (weight * values).sum() / torch.where(total > 0, total, 1.0)
