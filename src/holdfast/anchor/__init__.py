"""What the old tasks are owed: terms that add to the loss, and rules that edit the step."""

from holdfast.anchor.function import RelationDistillation, relation_distillation
from holdfast.anchor.rule import Rule, edited

__all__ = ["RelationDistillation", "Rule", "edited", "relation_distillation"]
