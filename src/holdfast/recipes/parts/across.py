"""Distillation across layers and networks, as parts of any recipe."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from holdfast.anchor import FeatureDistillation, OneForAll
from holdfast.anchor.feature import Distance
from holdfast.anchor.past import TunedPast
from holdfast.loss.classify import CrossEntropy
from holdfast.loss.mutual import ConditionalInformation
from holdfast.loss.term import Objective
from holdfast.recipes.adding import part
from holdfast.recipes.method import Method
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


@part("ofa")
def ofa(weight: Weight = 1.0, g: float = 1.0, exits: bool = True, on: str = "batch") -> Objective:
    """OFA-KD: the head and an exit of each stage keep the past network's answers (`OneForAll`).

    Args:
        weight: of the distillation.
        g: 1 keeps the answers; above 1 those count more that the past was sure of, which asks rows of old
            classes.
        exits: whether stages have exits.
        on: the part of a step that is asked.

    Source: Hao et al., NeurIPS 2023
    """
    return weight * OneForAll(g, exits=exits, on=on)


@part("tuned_past")
def tuned_past(
    epochs: int = 5, lr: float = 0.01, batch: int = 64, cmi: float = 0.15
) -> Callable[[Method], Method]:
    """Later tasks are held to a copy that was tuned to say more of each row (MCMI), not to the network.

    Args:
        epochs: passes over the ended task's rows.
        lr: learning rate of the copy at the start.
        batch: rows in a batch.
        cmi: weight of `ConditionalInformation` from the second pass on; 0 tunes by cross-entropy alone.

    Source: Ye et al., ICLR 2024
    """
    past = TunedPast(partial(informed, cmi), epochs, lr, batch)
    return lambda method: replace(method, past=past)


def informed(cmi: float) -> Objective:
    """Cross-entropy over all classes, less the information that answers hold beyond the class.

    Args:
        cmi: weight of that; 0 leaves it out.
    """
    loss = CrossEntropy("seen")
    return loss + cmi * ConditionalInformation(1.0, classes="seen") if cmi else loss
