"""What the old tasks are owed: terms that add to the loss, and rules that edit the step."""

from holdfast.anchor.curvature import Curvature, Importance, Unit
from holdfast.anchor.function import RelationDistillation, relation_distillation
from holdfast.anchor.importance import MemoryAware, PathIntegral, SynapticIntelligence
from holdfast.anchor.likelihood import FrameSoftmax, HeadSoftmax, Likelihood
from holdfast.anchor.rule import Rule, edited
from holdfast.anchor.weight import Proximal, Quadratic

__all__ = [
    "Curvature",
    "FrameSoftmax",
    "HeadSoftmax",
    "Importance",
    "Likelihood",
    "MemoryAware",
    "PathIntegral",
    "Proximal",
    "Quadratic",
    "RelationDistillation",
    "Rule",
    "SynapticIntelligence",
    "Unit",
    "edited",
    "relation_distillation",
]
