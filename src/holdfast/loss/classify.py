"""Cross-entropy over the new, the seen, or all classes."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor
from torch.nn import functional

from holdfast.core.constants import class_index
from holdfast.core.errors import ConfigError
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
        ConfigError: for another set of classes; for mixed rows, which have two classes each.
    """

    label = "cross_entropy"
    reads = ("logits",)
    weighs = True

    def __init__(self, classes: Competing = "seen", on: str = "batch"):
        super().__init__()
        require_option("set of classes", classes, get_args(Competing))
        if on == "mixed":
            raise ConfigError(
                'rows of the part "mixed" have two classes each: ask Mixup() of them.'
            )
        self.classes: Competing = classes
        self.on = on
        self.whole_head, self.needs_rivals = classes == "all", classes == "new"

    def value(self, part: Part, step: Step) -> Tensor:
        """Mean over the rows whose class competes, each as often as it weighs; 0 if there is none."""
        return cross_entropy_among(
            part.out.logits, part.rows.y, self.classes, step, row_weights(part.rows)
        )


def competing(
    logits: Float[Tensor, "n k"], y: Int[Tensor, " n"], classes: Competing, step: Step
) -> tuple[Float[Tensor, "n c"], Int[Tensor, " n"]]:
    """The logits that compete, in single precision at least, and each label's place among them.

    Args:
        logits: of the head.
        y: labels.
        classes: which compete.
        step: whose classes are ``new`` and ``seen``.

    Returns:
        (N, C) logits, and (N,) places in 0..C-1; -1 for a class that does not compete.
    """
    logits = at_least_float32(logits)
    if classes == "all":
        return logits, y
    index = class_index(step.classes if classes == "new" else step.seen, y.device)
    place = torch.full((logits.shape[1],), -1, device=y.device)
    place = place.index_copy(0, index, torch.arange(len(index), device=y.device))
    return logits[:, index], place[y]


def cross_entropy_among(
    logits: Float[Tensor, "n k"],
    y: Int[Tensor, " n"],
    classes: Competing,
    step: Step,
    weight: Shaped[Tensor, " n"] | None = None,
) -> Float[Tensor, ""]:
    """Mean cross-entropy over the rows whose class competes; 0 if there is none.

    Args:
        logits: of the head.
        y: labels.
        classes: which compete.
        step: whose classes are ``new`` and ``seen``.
        weight: how many rows each counts as; None is 1.
    """
    logits, y = competing(logits, y, classes, step)
    if weight is not None:
        each = functional.cross_entropy(logits, y, ignore_index=-1, reduction="none")
        return weighted_mean(each, weight * (y >= 0))
    if classes == "all":
        return functional.cross_entropy(logits, y)
    total = functional.cross_entropy(logits, y, ignore_index=-1, reduction="sum")
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
