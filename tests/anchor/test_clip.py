"""Clip: no step sees a gradient longer than a length, and a shorter one is not touched."""

import math

import pytest
import torch

from holdfast.anchor import Clip
from holdfast.core.errors import ConfigError, DivergedError
from holdfast.loss import CrossEntropy
from holdfast.recipes import make
from holdfast.recipes.method import Method
from holdfast.testing import check_rule, small_stream
from holdfast.testing.bench import Bench
from holdfast.testing.watched import QUICK, learned


@pytest.mark.parametrize("length", [0.01, 0.3, 1e6])
def test_a_clipped_gradient_is_its_twin(length):
    bench, step = Bench(), Bench().step()
    CrossEntropy("seen")(bench.step()).backward()
    g = {n: p.grad.clone() for n, p in bench.learner.named_parameters() if p.grad is not None}
    norm = math.sqrt(sum(v * v for p in g.values() for v in p.flatten().tolist()))
    got = Clip(length).gradient(dict(g), step)
    assert float(step.records["gradient"]) == pytest.approx(norm, rel=1e-5)
    for name, p in g.items():
        if norm <= length:
            assert torch.equal(got[name], p)
        else:
            torch.testing.assert_close(got[name], p * (length / norm))


def test_a_gradient_of_nothing_stays_nothing():
    step = Bench().step()
    assert not Clip().gradient({}, step)
    assert torch.equal(Clip().gradient({"w": torch.zeros(3)}, step)["w"], torch.zeros(3))


def test_training_that_runs_away_does_not_where_it_is_clipped():
    wild = QUICK.updated(lr=1e4, epochs=3, first_epochs=3)
    with pytest.raises(DivergedError):
        learned(Method(CrossEntropy()), small_stream(), wild)
    clipped = learned(Method(CrossEntropy(), [Clip(1e-6)]), small_stream(), wild)
    assert clipped.result.status == "complete"


@pytest.mark.parametrize("recipe", ["efc", "adagauss", "gatf"])
def test_recipes_are_clipped_as_asked(recipe):
    (rule,) = make(recipe, clip=0.5).rules
    assert isinstance(rule, Clip) and rule.length == 0.5
    assert not make(recipe, clip=0.0).rules


@pytest.mark.parametrize("length", [0.0, -1.0, math.inf, math.nan])
def test_a_length_of_nothing_is_refused(length):
    with pytest.raises(ConfigError, match="a length above 0"):
        Clip(length)


def test_the_rule_obeys_the_laws():
    check_rule(Clip(0.1))
