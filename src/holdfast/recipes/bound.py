"""The bounds between which every continual method lies."""

from __future__ import annotations

from typing import Literal

from holdfast.loss import CrossEntropy
from holdfast.memory import Everything, Protocol
from holdfast.recipes.catalogue import register
from holdfast.recipes.method import Method


@register("finetune")
def finetune(classes: Literal["new", "seen", "all"] = "seen") -> Method:
    """Cross-entropy on the new data alone: the lower bound that forgets.

    Args:
        classes: which logits compete in the softmax.

    Source: the usual baseline of the field
    """
    return Method(loss=CrossEntropy(classes))


@register("joint")
def joint() -> Method:
    """Cross-entropy on everything seen so far: the upper bound, which stores all images.

    Source: the usual bound of the field
    """
    return Method(loss=CrossEntropy("seen"), memory=Everything(), protocol=Protocol("joint"))
