"""Sparse training: densities, what is dropped and grown, and that used weights keep their bits."""

import copy
import logging
import math

import pytest
import torch

from checker import unchecked
from holdfast.anchor import SparseTraining
from holdfast.anchor.density import layer_densities
from holdfast.anchor.sparse import swapped
from holdfast.core.errors import ConfigError
from holdfast.recipes import make
from holdfast.testing import check_rule, small_stream
from holdfast.testing.streams import CLASSES
from holdfast.testing.watched import QUICK
from holdfast.train.continual import Continual
from reference_isolation import erk

SHAPES = {"a": (8, 3, 3, 3), "b": (32, 8, 3, 3), "c": (64, 32), "d": (10, 64)}


@pytest.mark.parametrize("density", [0.05, 0.2, 0.6, 0.95, 1.0])
def test_erk_is_its_twin_and_adds_up_to_the_density(density):
    parts = layer_densities(SHAPES, density, "erk")
    for name, expected in erk(SHAPES, density).items():
        assert parts[name] == pytest.approx(expected, abs=1e-9)
    size = {name: math.prod(shape) for name, shape in SHAPES.items()}
    kept = sum(parts[name] * size[name] for name in SHAPES)
    assert kept == pytest.approx(density * sum(size.values()))


def test_erk_of_one_layer_is_uniform():
    one = {"a": (8, 4)}
    assert layer_densities(one, 0.3, "erk")["a"] == pytest.approx(0.3)
    assert layer_densities(SHAPES, 0.3, "uniform") == dict.fromkeys(SHAPES, 0.3)


@pytest.mark.parametrize("density", [0.0, -1.0, 1.5])
def test_a_density_outside_its_range_is_refused(density):
    with pytest.raises(ConfigError, match="density"):
        SparseTraining(density)


def test_a_swap_drops_the_smallest_and_grows_the_best_that_may():
    mask = torch.tensor([1, 1, 1, 1, 0, 0, 0, 0]).bool()
    weight = torch.tensor([3.0, -0.1, 2.0, 0.05, 0, 0, 0, 0])
    free = torch.tensor([1, 1, 1, 0, 1, 1, 1, 1]).bool()  # the smallest of all is used: it stays
    score = torch.tensor([9.0, 9.0, 9.0, 9.0, 1.0, 4.0, -math.inf, 2.0])
    now = swapped(mask, weight, free, score, 0.5)  # ceil(1.5) = 2 of three
    assert now.tolist() == [True, False, False, True, False, True, False, True]
    few = swapped(mask, weight, free, torch.where(score == 4, score, -torch.inf), 1.0)
    assert few.tolist() == [True, False, True, True, False, True, False, False]
    assert torch.equal(swapped(mask, weight, free, score, 0.0), mask)


def learned(**settings):
    """A small run, its masks after every step of each task, and its weights when each task began."""
    method = make("sparse", **settings)
    core = Continual(method, small_stream().shape, QUICK, CLASSES)
    (rule,) = core.method.rules
    steps, settle = [], rule.settle

    def watched(weights, step):
        settle(weights, step)
        live = {n: w.clone() for n, w in weights.items() if n in rule.masks}
        steps.append((step.task, {n: m.clone() for n, m in rule.masks.items()}, live))

    rule.settle = watched
    return core, steps


@pytest.mark.parametrize("grow", ["random", "gradient", "momentum", "unfired"])
@pytest.mark.parametrize("reuse", [True, False])
def test_the_density_holds_through_every_swap_and_masks_do_move(grow, reuse):
    core, steps = learned(density=0.3, spread="uniform", grow=grow, every=2, reuse=reuse)
    core.learn(small_stream()[0])
    first, last = steps[0][1], steps[-1][1]
    assert any(not torch.equal(first[n], last[n]) for n in first)
    for _, masks, live in steps:
        for name, mask in masks.items():
            assert int(mask.sum()) == max(1, round(0.3 * mask.numel()))
            assert not live[name][~mask].any()


@pytest.mark.parametrize("reuse", [True, False])
def test_weights_that_a_task_used_have_their_bits_in_every_later_one(reuse):
    core, steps = learned(density=0.3, spread="uniform", every=3, reuse=reuse)
    stream = small_stream()
    core.learn(stream[0])
    states = core.learner.states
    masks = states.masks(0)
    kept = {n: w[masks[n]].clone() for n, w in states.weights().items()}
    begun = len(steps)
    for task in stream.tasks[1:]:
        core.learn(task)
    for _, now, live in steps[begun:]:
        for name, mask in masks.items():
            both = mask & now[name]
            assert bool(both.any()) == reuse
            assert torch.equal(live[name][both], states.weights()[name][both])
    for name, w in states.weights().items():
        assert torch.equal(w[masks[name]], kept[name])
    trained = states.masks(1)["backbone.layers.3.weight"] & ~masks["backbone.layers.3.weight"]
    assert trained.any()


def test_weights_outside_a_mask_are_as_they_were_when_the_task_ends():
    core, _ = learned(density=0.3, spread="uniform", every=2)
    before = None
    (rule,) = core.method.rules
    prepare = rule.prepare

    def noted(learner, task):
        nonlocal before
        before = copy.deepcopy(learner.states.weights())
        prepare(learner, task)

    rule.prepare = noted
    core.learn(small_stream()[0])
    mask = core.learner.states.masks(0)
    for name, w in core.learner.states.weights().items():
        assert torch.equal(w[~mask[name]], before[name][~mask[name]])
        assert not torch.equal(w[mask[name]], before[name][mask[name]])


def test_a_full_network_says_so(caplog):
    core, _ = learned(density=0.6, spread="uniform", reuse=False, every=0)
    with caplog.at_level(logging.WARNING, logger="holdfast.anchor.sparse"):
        for task in small_stream():
            core.learn(task)
    assert [record.args[0] for record in caplog.records] == [3]
    assert "no free weight left in 3 of 3 layers" in caplog.text


@pytest.mark.parametrize(
    "rule", [SparseTraining(every=3), SparseTraining(0.3, "uniform", "unfired", 2, reuse=False)]
)
def test_it_obeys_the_laws_of_a_rule(rule):
    check_rule(rule)


@pytest.mark.parametrize(
    "settings, words",
    [({"spread": "even"}, "erk"), ({"grow": "all"}, "momentum"), ({"every": -1}, "every")],
)
def test_bad_settings_are_refused(settings, words):
    with pytest.raises(ConfigError, match=words):
        unchecked(SparseTraining.__init__)(SparseTraining(), **settings)
