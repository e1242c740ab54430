"""The new network must say what another one said, whatever its architecture."""

from __future__ import annotations

from holdfast.anchor import OneForAll
from holdfast.loss import CrossEntropy
from holdfast.recipes.catalogue import register
from holdfast.recipes.method import Method
from holdfast.recipes.search import Weight


@register("ofa")
def ofa(weight: Weight = 1.0, exits: bool = True) -> Method:
    """OFA-KD: the past network's answers are kept by the head and by an exit of every stage.

    The past network may be of another architecture: holdfast learn NEW --past OLD takes over its classes.

    Args:
        weight: of the distillation.
        exits: whether every stage has an exit of its own; a backbone without stages takes no.

    Source: Hao et al., One-for-all: bridge the gap between heterogeneous architectures in knowledge
        distillation (OFA-KD), NeurIPS 2023; with linear exits, and g = 1, which memory-free streams ask
    """
    return Method(CrossEntropy("new"), [weight * OneForAll(exits=exits)])
