"""What the old tasks are owed: terms that add to the loss, and rules that edit the step."""

from holdfast.anchor.divergence import (
    DIVERGENCES,
    Divergence,
    balanced_kl,
    divergence,
    f_divergence,
    forward_kl,
    jensen_shannon,
    reverse_kl,
)
from holdfast.anchor.feature import FeatureDistillation, feature_distillation
from holdfast.anchor.function import (
    IndirectAlignment,
    LogitDistillation,
    MatchLogits,
    distillation,
)
from holdfast.anchor.importance import MemoryAware, PathIntegral, SynapticIntelligence
from holdfast.anchor.relation import RelationDistillation, relation_distillation
from holdfast.anchor.rule import Rule, WeightAligning, edited
from holdfast.anchor.weight import Proximal, Quadratic
from holdfast.curvature.curvature import Curvature, Importance, Unit
from holdfast.curvature.likelihood import FrameSoftmax, HeadSoftmax, Likelihood

__all__ = [
    "DIVERGENCES",
    "Curvature",
    "Divergence",
    "FeatureDistillation",
    "FrameSoftmax",
    "HeadSoftmax",
    "Importance",
    "IndirectAlignment",
    "Likelihood",
    "LogitDistillation",
    "MatchLogits",
    "MemoryAware",
    "PathIntegral",
    "Proximal",
    "Quadratic",
    "RelationDistillation",
    "Rule",
    "SynapticIntelligence",
    "Unit",
    "WeightAligning",
    "balanced_kl",
    "distillation",
    "divergence",
    "edited",
    "f_divergence",
    "feature_distillation",
    "forward_kl",
    "jensen_shannon",
    "relation_distillation",
    "reverse_kl",
]
