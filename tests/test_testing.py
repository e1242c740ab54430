"""The laws can fail: each is shown a part that breaks it, and says so in a sentence."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from holdfast import Method
from holdfast.anchor import FeatureDistillation, Rule
from holdfast.errors import ProtocolError
from holdfast.loss import CrossEntropy, Term
from holdfast.memory import Protocol, Reservoir
from holdfast.readout import NearestMean
from holdfast.testing import (
    check_backbone,
    check_memory,
    check_readout,
    check_recipe,
    check_rule,
    check_source,
    check_term,
    small_source,
)


class Undeclared(Term):
    """Reads logits and says features."""

    label = "undeclared"
    reads = ("features",)

    def value(self, part, step):
        return part.out.logits.square().mean()


class Divided(Term):
    """Divides by the batch's own spread, which is 0 for one row."""

    label = "divided"
    reads = ("features",)

    def value(self, part, step):
        features = part.out.features
        return (features / (features - features.mean(0)).norm()).square().mean()


class Chance(Term):
    """Draws from the global generator."""

    label = "chance"
    reads = ("features",)

    def value(self, part, step):
        return part.out.features.square().mean() * torch.rand(())


class Forgetful(FeatureDistillation):
    """Keeps a number a task that is in no state."""

    def __init__(self):
        super().__init__()
        self.tasks = 0

    def value(self, part, step):
        return super().value(part, step) * (1 + self.tasks)

    def consolidate(self, learner, task, past=None):
        super().consolidate(learner, task, past)
        self.tasks += 1


class Hoarder(Term):
    """Keeps the rows it is asked of."""

    label = "hoarder"
    reads = ("features",)

    def value(self, part, step):
        self.rows = part.rows
        return part.out.features.square().mean()


@pytest.mark.parametrize(
    "term, words",
    [
        (Undeclared(), "Undeclared"),
        (Divided(), "finite"),
        (Forgetful(), "Forgetful"),
        (Hoarder(), "Hoarder"),
    ],
    ids=lambda x: type(x).__name__ if isinstance(x, Term) else "",
)
def test_a_term_that_breaks_a_law_is_named(term, words):
    with pytest.raises(AssertionError, match=words):
        check_term(term)


class Fickle(Rule):
    """Counts its updates in no state, and moves the weights by the count."""

    def __init__(self):
        super().__init__()
        self.updates = 0

    def update(self, delta, step):
        self.updates += 1
        return {name: d / self.updates for name, d in delta.items()}


def test_a_rule_whose_state_is_lost_is_named():
    with pytest.raises(AssertionError, match=r"Fickle|resume"):
        check_rule(Fickle())


class Greedy(Reservoir):
    """Takes in one more row than it may."""

    def observe(self, rows, epoch, generator, out=None):
        self.capacity += 1
        super().observe(rows, epoch, generator, out)


def test_a_memory_over_its_capacity_is_named():
    with pytest.raises(AssertionError, match="Greedy"):
        check_memory(Greedy(8))


class Flat(NearestMean):
    """Gives every class the same score."""

    def scores(self, out):
        return super().scores(out)[:, :1]


class Moody(NearestMean):
    """Scores a row by the others in the batch."""

    def scores(self, out):
        scores = super().scores(out)
        return scores - scores.mean(0)


@pytest.mark.parametrize("readout, words", [(Flat(), "shape"), (Moody(), "alone")])
def test_a_readout_that_breaks_a_law_is_named(readout, words):
    with pytest.raises(AssertionError, match=words):
        check_readout(readout)


def test_a_source_whose_parts_overlap_is_named():
    source = small_source()
    leaking = replace(source, test_x=source.x[:6].clone(), test_y=source.y[:6].clone())
    with pytest.raises(AssertionError, match="test"):
        check_source(leaking)


def test_a_source_that_changes_is_named():
    seeds = iter(range(9))

    def moving():
        source = small_source()
        noise = torch.randint(
            9, source.x.shape, generator=torch.Generator().manual_seed(next(seeds))
        )
        return replace(source, x=source.x + noise.to(torch.uint8))

    with pytest.raises(AssertionError, match=r"same|other"):
        check_source(moving)


class Dropping(nn.Module):
    """Drops features in eval mode too."""

    def __init__(self, shape):
        super().__init__()
        self.layer = nn.Linear(64, 8)

    def forward(self, x):
        return nn.functional.dropout(self.layer(x.flatten(1)), 0.5, training=True)


def test_a_backbone_that_is_no_function_in_eval_mode_is_named():
    with pytest.raises(AssertionError, match="second call"):
        check_backbone(Dropping)


def test_a_recipe_that_keeps_images_is_named():
    method = Method(CrossEntropy(), [Hoarder()], protocol=Protocol("strict"))
    with pytest.raises(ProtocolError, match=r"Hoarder.* keeps"):
        check_recipe(method)


def test_what_obeys_the_laws_passes():
    check_term(FeatureDistillation())
    check_recipe(lambda: Method(CrossEntropy(), [Chance()]))  # global chance is seeded by place
    check_memory(Reservoir(8))
    check_readout("mean")
    check_source(small_source())
