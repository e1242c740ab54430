"""Stored images come back into training."""

from __future__ import annotations

from typing import Literal

from holdfast.anchor import MatchLogits
from holdfast.loss import CrossEntropy
from holdfast.memory import Protocol, Reservoir
from holdfast.recipes.catalogue import register
from holdfast.recipes.method import Method


@register("er")
def er(weight: float = 1.0, forward: Literal["joint", "split"] = "joint") -> Method:
    """Experience replay: every batch rehearses as many stored images again.

    Args:
        weight: of the stored images' loss, where they are drawn apart.
        forward: ``joint``: new and stored rows share a forward pass and so a batch norm;
            ``split``: each has its own.

    Source: Chaudhry et al., On tiny episodic memories in continual learning, 2019
    """
    if forward == "joint":
        return Method(
            CrossEntropy(), memory=Reservoir(200, "mix"), protocol=Protocol("buffer", 200)
        )
    loss = CrossEntropy() + weight * CrossEntropy(on="memory")
    return Method(loss, memory=Reservoir(200, "draw"), protocol=Protocol("buffer", 200))


@register("der")
def der(alpha: float = 0.3, classes: Literal["all", "seen"] = "all") -> Method:
    """DER: stored images must get the logits that were noted beside them.

    Args:
        alpha: weight of the stored logits.
        classes: logits that compete and are noted: of ``all`` classes of the stream, from a head made
            whole before the first task, as published; or of those ``seen``, from a growing head,
            where nothing keeps a stored image from taking a later class's logit.

    Source: Buzzega et al., Dark experience for general continual learning, NeurIPS 2020
    """
    memory = Reservoir(200, "draw", columns=("logits",))
    return Method(
        CrossEntropy(classes), [alpha * MatchLogits()], memory, protocol=Protocol("buffer", 200)
    )


@register("derpp")
def derpp(alpha: float = 0.1, beta: float = 0.5, classes: Literal["all", "seen"] = "all") -> Method:
    """DER++: stored images must get their noted logits, and a second draw of them its labels.

    Args:
        alpha: weight of the stored logits.
        beta: weight of the stored labels.
        classes: logits that compete and are noted: of ``all`` classes of the stream, from a head made
            whole before the first task, as published; or of those ``seen``, from a growing head,
            where nothing keeps a stored image from taking a later class's logit.

    Source: Buzzega et al., Dark experience for general continual learning, NeurIPS 2020
    """
    memory = Reservoir(200, "draw", columns=("logits",), draws=2)
    anchors = [alpha * MatchLogits(), beta * CrossEntropy(classes, on="memory_2")]
    return Method(CrossEntropy(classes), anchors, memory, protocol=Protocol("buffer", 200))
