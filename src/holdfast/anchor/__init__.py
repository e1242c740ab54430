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
from holdfast.anchor.function import (
    IndirectAlignment,
    LogitDistillation,
    MatchLogits,
    distillation,
)
from holdfast.anchor.relation import RelationDistillation, relation_distillation
from holdfast.anchor.rule import Rule, WeightAligning, edited

__all__ = [
    "DIVERGENCES",
    "Divergence",
    "IndirectAlignment",
    "LogitDistillation",
    "MatchLogits",
    "RelationDistillation",
    "Rule",
    "WeightAligning",
    "balanced_kl",
    "distillation",
    "divergence",
    "edited",
    "f_divergence",
    "forward_kl",
    "jensen_shannon",
    "relation_distillation",
    "reverse_kl",
]
