"""Distillation across layers and networks, as parts of any recipe."""

from __future__ import annotations

from holdfast.anchor import FeatureDistillation
from holdfast.anchor.feature import Distance
from holdfast.loss.term import Objective
from holdfast.recipes.part import part
from holdfast.recipes.search import Weight


@part("stage_distillation")
def stage_distillation(
    weight: Weight = 1.0, distance: Distance = "square", rising: float = 1.0
) -> Objective:
    """Every stage of the backbone is held to the past one's, not its features alone.

    Args:
        weight: of the distillation.
        distance: ``square`` or ``cosine``.
        rising: 0 holds all stages alike; the larger, the freer are the early ones.

    Source: Ye et al., ACL 2021; docs/theory.md, section 7
    """
    return weight * FeatureDistillation(distance, "stages", rising=rising)
