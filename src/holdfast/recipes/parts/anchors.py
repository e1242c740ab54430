"""The anchors of the package's own recipes, each for any other: by themselves, or with one another."""

from __future__ import annotations

from typing import Literal

from holdfast.anchor import (
    Curvature,
    FeatureDistillation,
    FeatureFisher,
    HeadSoftmax,
    LogitDistillation,
    PseudoRehearsal,
    Quadratic,
    RelationDistillation,
    WeightAligning,
)
from holdfast.anchor.rule import Rule
from holdfast.loss.term import Objective
from holdfast.recipes.adding import part
from holdfast.recipes.search import Prior, Softness, Weight


@part("logits")
def logits(
    weight: Weight = 1.0,
    T: Softness = 2.0,
    divergence: str = "forward_kl",
    support: Literal["old", "all_padded"] = "old",
) -> Objective:
    """The head's answers stay as they were: distillation of logits.

    Args:
        weight: of the term.
        T: temperature of both networks' answers.
        divergence: by name (holdfast divergences).
        support: the classes it is asked of: old ones, or all, the past padded by zeros.

    Source: Li, Hoiem, Learning without forgetting, ECCV 2016
    """
    return weight * LogitDistillation(divergence, T, support=support)


@part("features")
def features(
    weight: Weight = 1.0,
    distance: Literal["square", "cosine"] = "square",
    of: Literal["features", "embedding"] = "features",
) -> Objective:
    """The features stay where they were, in units of their spread.

    Args:
        weight: of the term.
        distance: square or cosine.
        of: features or embedding.
    """
    return weight * FeatureDistillation(distance, of)


@part("relations")
def relations(weight: Weight = 1.0, now: float = 0.2, past: float = 0.01) -> Objective:
    """Who is near whom in a batch stays as it was: instance-wise relation distillation.

    Args:
        weight: of the term.
        now: temperature of the learner's relations.
        past: temperature of the past network's relations.

    Source: Cha, Lee, Shin, Co2L, ICCV 2021
    """
    return weight * RelationDistillation(now, past)


@part("feature_fisher")
def feature_fisher(weight: Weight = 1.0, strength: float = 10.0, eta: float = 0.1) -> Objective:
    """Features are held by how much the softmax of all classes depends on them.

    Args:
        weight: of the term.
        strength: of the feature matrix.
        eta: of the same in every direction.

    Source: Magistri et al., Elastic feature consolidation, ICLR 2024
    """
    return weight * FeatureFisher(strength, eta)


@part("pseudo_rehearsal")
def pseudo_rehearsal(weight: Weight = 1.0, each: int = 200) -> Objective:
    """The head goes on learning the old classes from draws of their stored Gaussians.

    Args:
        weight: of the term.
        each: draws of a class.

    Source: as in Zhu et al. (PASS), CVPR 2021, with draws of Gaussians that follow the drift
    """
    return weight * PseudoRehearsal(each)


@part("online_ewc")
def online_ewc(weight: Prior = 1.0, decay: float = 1.0) -> Objective:
    """The weights stay where old tasks left them, each by its Fisher information.

    Args:
        weight: 1 counts all old data once.
        decay: factor on older tasks' Fisher each time a task ends.

    Source: Schwarz et al., Progress and compress, ICML 2018
    """
    return Quadratic(Curvature("fisher", likelihood=HeadSoftmax("seen")), weight, decay)


@part("weight_aligning")
def weight_aligning() -> Rule:
    """When a task ends, its rows of the head are scaled to the old ones' length.

    Source: Zhao et al., Maintaining discrimination and fairness in class incremental learning, CVPR 2020
    """
    return WeightAligning()
