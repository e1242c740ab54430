"""What the old tasks are owed: terms that add to the loss, and rules that edit the step."""

from holdfast.anchor.alignment import HeadAlignment, head_moments
from holdfast.anchor.cycle import CycleDistillation, cycle_distillation
from holdfast.anchor.divergence import (
    DIVERGENCES,
    Divergence,
    FDivergence,
    balanced_kl,
    f_divergence,
    forward_kl,
    jensen_shannon,
    make_divergence,
    reverse_kl,
)
from holdfast.anchor.feature import FeatureDistillation, feature_distillation
from holdfast.anchor.feature_fisher import FeatureFisher, feature_matrix, fisher_distillation
from holdfast.anchor.function import (
    IndirectAlignment,
    LogitDistillation,
    MatchLogits,
    distillation,
)
from holdfast.anchor.importance import MemoryAware, PathIntegral, SynapticIntelligence
from holdfast.anchor.projected import ProjectedDistillation
from holdfast.anchor.rehearsal import PseudoRehearsal
from holdfast.anchor.relation import RelationDistillation, relation_distillation
from holdfast.anchor.rule import Rule, WeightAligning, edited
from holdfast.anchor.sensitive import DomainGradients, DomainSensitive, sensitivity
from holdfast.anchor.teacher import TaughtBy, taught
from holdfast.anchor.translation import TranslatedRehearsal, translated
from holdfast.anchor.weight import Proximal, Quadratic
from holdfast.curvature.curvature import Curvature
from holdfast.curvature.importance import Importance, Unit
from holdfast.curvature.likelihood import FrameSoftmax, HeadSoftmax, Likelihood

__all__ = [
    "DIVERGENCES",
    "Curvature",
    "CycleDistillation",
    "Divergence",
    "DomainGradients",
    "DomainSensitive",
    "FDivergence",
    "FeatureDistillation",
    "FeatureFisher",
    "FrameSoftmax",
    "HeadAlignment",
    "HeadSoftmax",
    "Importance",
    "IndirectAlignment",
    "Likelihood",
    "LogitDistillation",
    "MatchLogits",
    "MemoryAware",
    "PathIntegral",
    "ProjectedDistillation",
    "Proximal",
    "PseudoRehearsal",
    "Quadratic",
    "RelationDistillation",
    "Rule",
    "SynapticIntelligence",
    "TaughtBy",
    "TranslatedRehearsal",
    "Unit",
    "WeightAligning",
    "balanced_kl",
    "cycle_distillation",
    "distillation",
    "edited",
    "f_divergence",
    "feature_distillation",
    "feature_matrix",
    "fisher_distillation",
    "forward_kl",
    "head_moments",
    "jensen_shannon",
    "make_divergence",
    "relation_distillation",
    "reverse_kl",
    "sensitivity",
    "taught",
    "translated",
]
