"""What a part draws from the global generators is seeded by its place in the run."""

import random

import numpy as np
import pytest
import torch

from holdfast.loss import CrossEntropy, Term
from holdfast.recipes.method import Method
from holdfast.testing import check_recipe
from holdfast.testing.recipes import Subject
from holdfast.testing.watched import QUICK, learned

LAWS = ["same_seed_same_bits", "another_seed_other_weights", "resume_is_uninterrupted"]
DRAWS = {
    "torch": lambda: float(torch.rand(())),
    "numpy": lambda: float(np.random.random()),  # noqa: NPY002
    "random": random.random,
}


class Shaken(Term):
    """Logits times a number of chance."""

    label = "shaken"
    reads = asks = ("logits",)

    def __init__(self, source):
        super().__init__()
        self.source = source

    def value(self, part, step):
        return DRAWS[self.source]() * part.out.logits.square().mean()


def shaken(source):
    return Method(CrossEntropy(), [Shaken(source)])


@pytest.mark.parametrize("source", DRAWS)
def test_a_term_that_draws_from_a_global_generator_can_be_resumed(source):
    check_recipe(shaken(source), LAWS)  # which also finds the generators as they were


@pytest.mark.parametrize("source", DRAWS)
def test_each_step_draws_anew(source, tiny_stream):
    drawn, usual = [], DRAWS[source]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(DRAWS, source, lambda: drawn.append(usual()) or drawn[-1])
        learned(shaken(source), tiny_stream)
    assert len(drawn) == len(set(drawn)) == 18


def test_a_backbone_with_dropout_can_be_resumed():
    subject = Subject("finetune", QUICK.updated(backbone="noisy:Dropping", width=16))
    assert any(isinstance(m, torch.nn.Dropout) for m in subject.watched.run.learner.modules())
    check_recipe(subject, LAWS)
