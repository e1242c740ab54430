"""Clip: no step sees a gradient longer than a length, and a shorter one is not touched."""

import math
from contextlib import nullcontext

import pytest
import torch

from checker import unchecked
from holdfast.anchor import Clip, CycleDistillation
from holdfast.anchor.rule import Rule, edited
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


@pytest.mark.parametrize("over", ["all", "learner"])
def test_weights_that_terms_bring_count_and_are_clipped_where_all_are(over):
    bench, length = Bench(), 0.3
    brought = torch.nn.Parameter(torch.tensor([3.0, -4.0, 12.0]))
    unreached = torch.nn.Parameter(torch.ones(2))
    step = bench.step()
    (CrossEntropy("seen")(bench.step()) + brought.square().sum() / 2).backward()
    of = {n: p for n, p in bench.learner.named_parameters() if p.grad is not None}
    before = {n: p.grad.clone() for n, p in of.items()}
    counted = [*before.values(), *([torch.tensor([3.0, -4.0, 12.0])] if over == "all" else [])]
    norm = math.sqrt(sum(v * v for g in counted for v in g.flatten().tolist()))
    halved = Halved()
    with edited([halved, Clip(length, over)], bench.learner, step, brought=[unreached, brought]):
        pass
    # the first rule halves what the learner has, and is not shown the rest
    norm = math.sqrt((norm**2 - 169 * (over == "all")) / 4 + 169 * (over == "all"))
    assert halved.names == set(of) and norm > length
    assert float(step.records["gradient"]) == pytest.approx(norm, rel=1e-5)
    for name, p in of.items():
        torch.testing.assert_close(p.grad, before[name] / 2 * (length / norm))
    expected = torch.tensor([3.0, -4.0, 12.0]) * (length / norm if over == "all" else 1)
    torch.testing.assert_close(brought.grad, expected)
    assert unreached.grad is None


class Halved(Rule):
    """Halves the gradient, and notes of what."""

    def __init__(self):
        super().__init__()
        self.names: set[str] = set()

    def gradient(self, gradient, step):
        self.names = set(gradient)
        return {name: g / 2 for name, g in gradient.items()}


@pytest.mark.parametrize(("over", "wild"), [("all", False), ("learner", True)])
def test_a_maps_own_weights_run_away_only_where_they_are_not_clipped(over, wild):
    settings = QUICK.updated(lr=30.0, epochs=3, first_epochs=1)
    clipped = [5 * CycleDistillation(), Clip(1e-4, over)]
    with pytest.raises(DivergedError) if wild else nullcontext():
        learned(Method(CrossEntropy("new"), clipped), small_stream(), settings)


@pytest.mark.parametrize("recipe", ["efc", "adagauss", "gatf"])
def test_recipes_are_clipped_as_asked(recipe):
    (rule,) = make(recipe, clip=0.5).rules
    assert isinstance(rule, Clip) and rule.length == 0.5
    assert not make(recipe, clip=0.0).rules
    assert rule.over == "all"
    if recipe != "efc":
        (rule,) = make(recipe, clip_over="learner").rules
        assert isinstance(rule, Clip) and rule.over == "learner"


def test_other_weights_are_refused():
    with pytest.raises(ConfigError, match="weights to clip 'network'"):
        unchecked(Clip.__init__)(Clip(), 1.0, "network")


@pytest.mark.parametrize("length", [0.0, -1.0, math.inf, math.nan])
def test_a_length_of_nothing_is_refused(length):
    with pytest.raises(ConfigError, match="a length above 0"):
        Clip(length)


def test_the_rule_obeys_the_laws():
    check_rule(Clip(0.1))
