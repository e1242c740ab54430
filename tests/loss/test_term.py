"""What a term says of itself, from which a method derives whether a head is trained, views and width."""

import pytest
import torch

from holdfast.anchor import (
    Curvature,
    FeatureDistillation,
    FrameSoftmax,
    IndirectAlignment,
    LogitDistillation,
    MatchLogits,
    MemoryAware,
    Proximal,
    Quadratic,
    RelationDistillation,
    Rule,
    SynapticIntelligence,
    Unit,
    WeightAligning,
)
from holdfast.learner import Frame
from holdfast.loss import READABLE, CrossEntropy, FocalCollapse, SupCon, Term, Uniformity
from holdfast.loss.term import distinct_labels

FRAME = Frame(8, 4)


@pytest.mark.parametrize(
    "part, reads, asks",
    [
        (CrossEntropy(), "logits", ""),
        (SupCon(), "embedding", ""),
        (FocalCollapse(FRAME), "embedding", ""),
        (Uniformity(of="features"), "features", ""),
        (Uniformity(), "embedding", ""),
        (FeatureDistillation(), "features", ""),
        (FeatureDistillation(of="embedding"), "embedding", ""),
        (RelationDistillation(), "embedding", ""),
        (IndirectAlignment(), "features", ""),
        (LogitDistillation(), "logits", "logits"),
        (MatchLogits(), "logits", "logits"),
        (Quadratic(Unit()), "weights", ""),
        (Quadratic(Curvature()), "weights", "logits"),
        (Quadratic(MemoryAware()), "weights", "logits"),
        (Proximal(Curvature(likelihood=FrameSoftmax(FRAME))), "weights", "embedding"),
        (SynapticIntelligence(), "weights", ""),
        (WeightAligning(), "weights", "logits"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_a_part_says_what_it_reads_and_what_others_must_teach(part, reads, asks):
    assert part.reads == (reads,) and reads in READABLE
    assert part.asks == ((asks,) if asks else ())
    if not isinstance(part, Rule):
        assert part.teaches == (() if asks == reads else (reads,))


def test_contrast_needs_two_views_and_a_frame_fixes_the_width():
    terms = [SupCon(dim=5), FocalCollapse(FRAME), RelationDistillation(keys=FRAME), CrossEntropy()]
    assert [(term.views, term.dim) for term in terms] == [(2, 5), (2, 8), (1, 8), (1, None)]
    assert SupCon().dim is None and RelationDistillation().dim is None


class Named(Term):
    def __init__(self, label, on="batch"):
        super().__init__()
        self.label, self.on = label, on

    def value(self, part, step):
        return torch.ones(())


def test_terms_of_one_label_get_labels_of_their_own():
    terms = [
        Named("a"),
        Named("a", "memory_2"),
        Named("a"),
        Named("a"),
        Named("b"),
        Named("a", "memory_2"),
    ]
    distinct_labels(terms)
    labels = [term.label for term in terms]
    assert labels == ["a", "a_memory_2", "a_2", "a_3", "b", "a_memory_2_2"]
    distinct_labels(terms)
    assert [term.label for term in terms] == labels
