"""Other heads: what a class is, and how it is kept while new ones are learned."""

from __future__ import annotations

from holdfast.anchor import FeatureDistillation, GrassmannStep, LogitDistillation
from holdfast.loss import CrossEntropy
from holdfast.readout import build_readout
from holdfast.recipes.catalogue import register
from holdfast.recipes.method import Method
from holdfast.recipes.search import Softness, Weight


@register("grassmann")
def grassmann(
    weight: Weight = 1.0, T: Softness = 2.0, features: Weight = 1.0, decide: str = "subspace"
) -> Method:
    """Classes are planes: a head of frames moved along geodesics, with LwF's distillation, read by planes.

    Args:
        weight: of the distillation of logits.
        T: temperature of both networks' answers.
        features: weight of the distillation of features.
        decide: the readout, as for --readout; head is the trained one.

    Source: GCR (Grassmann class representation, not a continual method) for the head, by its public code;
        Li, Hoiem, Learning without forgetting, ECCV 2016
    """
    anchors = [
        weight * LogitDistillation("forward_kl", T),
        features * FeatureDistillation(),
        GrassmannStep(),
    ]
    return Method(CrossEntropy("new"), anchors, readout=build_readout(decide), head="grassmann")
