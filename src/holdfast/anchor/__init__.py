"""What the old tasks are owed: terms that add to the loss, and rules that edit the step."""

from holdfast.anchor.alignment import HeadAlignment, head_moments
from holdfast.anchor.alpha_divergence import alpha
from holdfast.anchor.clip import Clip
from holdfast.anchor.coso import CoSO
from holdfast.anchor.cycle import CycleDistillation, cycle_distillation
from holdfast.anchor.divergence import (
    DIVERGENCES,
    Divergence,
    FDivergence,
    balanced_kl,
    f_divergence,
    forward_kl,
    jeffreys,
    jensen_shannon,
    make_divergence,
    reverse_kl,
)
from holdfast.anchor.feature import FeatureDistillation, feature_distillation, stage_distillation
from holdfast.anchor.feature_fisher import FeatureFisher, feature_matrix, fisher_distillation
from holdfast.anchor.function import (
    LogitDistillation,
    MatchLogits,
    distillation,
)
from holdfast.anchor.gate import Gate
from holdfast.anchor.ghost import GhostNorm
from holdfast.anchor.gpm import GPM
from holdfast.anchor.grassmann import GrassmannStep, along_geodesic, orthonormal
from holdfast.anchor.importance import MemoryAware, PathIntegral, SynapticIntelligence
from holdfast.anchor.indirect import IndirectAlignment
from holdfast.anchor.masked import MaskTuning
from holdfast.anchor.merged import Merged
from holdfast.anchor.merging import merge_weights
from holdfast.anchor.one_for_all import OneForAll, enhanced_distillation
from holdfast.anchor.orthogonal import Orthogonal
from holdfast.anchor.owm import OWM
from holdfast.anchor.past import TunedPast
from holdfast.anchor.perpgrad import PerpGrad
from holdfast.anchor.projected import ProjectedDistillation
from holdfast.anchor.random_subspace import RandomSubspace
from holdfast.anchor.rehearsal import PseudoRehearsal
from holdfast.anchor.relation import RelationDistillation, relation_distillation
from holdfast.anchor.rule import Rule, WeightAligning, edited
from holdfast.anchor.sensitive import DomainGradients, DomainSensitive, sensitivity
from holdfast.anchor.soma import MinorFactors, MinorHeld
from holdfast.anchor.sparse import SparseTraining
from holdfast.anchor.teacher import TaughtBy, taught
from holdfast.anchor.translation import TranslatedRehearsal, translated
from holdfast.anchor.unlearn import Evidence, ForgetEvidence, evidence, unlearn_rows
from holdfast.anchor.weight import Proximal, Quadratic
from holdfast.curvature.curvature import Curvature
from holdfast.curvature.importance import Importance, Unit
from holdfast.curvature.likelihood import FrameSoftmax, HeadSoftmax, Likelihood

__all__ = [
    "DIVERGENCES",
    "GPM",
    "OWM",
    "Clip",
    "CoSO",
    "Curvature",
    "CycleDistillation",
    "Divergence",
    "DomainGradients",
    "DomainSensitive",
    "Evidence",
    "FDivergence",
    "FeatureDistillation",
    "FeatureFisher",
    "ForgetEvidence",
    "FrameSoftmax",
    "Gate",
    "GhostNorm",
    "GrassmannStep",
    "HeadAlignment",
    "HeadSoftmax",
    "Importance",
    "IndirectAlignment",
    "Likelihood",
    "LogitDistillation",
    "MaskTuning",
    "MatchLogits",
    "MemoryAware",
    "Merged",
    "MinorFactors",
    "MinorHeld",
    "OneForAll",
    "Orthogonal",
    "PathIntegral",
    "PerpGrad",
    "ProjectedDistillation",
    "Proximal",
    "PseudoRehearsal",
    "Quadratic",
    "RandomSubspace",
    "RelationDistillation",
    "Rule",
    "SparseTraining",
    "SynapticIntelligence",
    "TaughtBy",
    "TranslatedRehearsal",
    "TunedPast",
    "Unit",
    "WeightAligning",
    "along_geodesic",
    "alpha",
    "balanced_kl",
    "cycle_distillation",
    "distillation",
    "edited",
    "enhanced_distillation",
    "evidence",
    "f_divergence",
    "feature_distillation",
    "feature_matrix",
    "fisher_distillation",
    "forward_kl",
    "head_moments",
    "jeffreys",
    "jensen_shannon",
    "make_divergence",
    "merge_weights",
    "orthonormal",
    "relation_distillation",
    "reverse_kl",
    "sensitivity",
    "stage_distillation",
    "taught",
    "translated",
    "unlearn_rows",
]
