"""Distillation through trained maps, and the cycle of two: against twins, and what each part trains."""

import pytest
import torch
from torch.testing import assert_close

import reference_strict as reference
from checker import unchecked
from clouds import normal
from holdfast.anchor import (
    CycleDistillation,
    FeatureDistillation,
    ProjectedDistillation,
    cycle_distillation,
    feature_distillation,
)
from holdfast.core.errors import ConfigError
from holdfast.learner.feature_map import FeatureMap
from holdfast.testing.bench import Bench
from holdfast.testing.terms import prepared, value_of


def moved_map(seed, kind="mlp", f=4):
    """A map with weights that are no longer those it started with."""
    made = FeatureMap(kind, 2)
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        made.open(2 + 3 * normal(seed, 9, f), normal(0, 1))
    with torch.no_grad():
        for number, p in enumerate(made.parameters()):
            p.add_(0.3 * normal(seed + number, *p.shape))
    return made


def twin_of(made):
    values = {name: tensor.tolist() for name, tensor in made.state_dict().items()}
    return lambda x: reference.feature_map(x, **values)


# the map


@pytest.mark.parametrize("kind", ["linear", "mlp"])
def test_a_map_equals_its_twin_also_far_out(kind):
    made, x = moved_map(1, kind), 2 + 3 * normal(2, 5, 4)
    x[0] += 100
    twin = torch.tensor([twin_of(made)(row) for row in x.tolist()], dtype=torch.float64)
    assert_close(made(x), twin)
    assert float((twin - x).abs().max()) > 0.1


def test_a_map_starts_at_the_identity_and_with_mean_and_spread_of_its_rows():
    made, x = FeatureMap("mlp", 3), 2 + 3 * normal(2, 50, 4)
    assert made(x) is x and not made.is_open and not made.state_dict()
    made.open(x, normal(0, 1))
    assert torch.equal(made(x), x) and made.inner.shape == (12, 4)
    assert_close(made.centre, x.mean(0))
    assert float(made.scale) == pytest.approx(float((x - x.mean(0)).square().sum(1).mean() ** 0.5))
    made.open(torch.ones(3, 4).double(), normal(0, 1))
    assert float(made.scale) == pytest.approx(0.1 * 2)
    made.close()
    assert not list(made.parameters()) and made(x) is x


def test_a_map_without_weights_takes_over_one_that_has_them_and_the_other_way_round():
    made, fresh, x = moved_map(1), FeatureMap("mlp", 2), normal(3, 5, 4)
    fresh.load_state_dict(made.state_dict())
    assert torch.equal(fresh(x), made(x)) and len(list(fresh.parameters())) == 5
    fresh.load_state_dict({})
    assert not fresh.is_open


def test_gradients_of_a_map_are_right():
    made = moved_map(1)
    assert torch.autograd.gradcheck(made, normal(3, 5, 4).requires_grad_())


def test_a_map_that_cannot_be_is_refused():
    with pytest.raises(ConfigError, match="unknown feature map 'cubic'"):
        unchecked(FeatureMap.__init__)(FeatureMap(), "cubic")
    with pytest.raises(ConfigError, match="at least 1 time its features, not 0"):
        ProjectedDistillation(times=0)


# projected distillation


def test_it_is_the_distillation_of_mapped_features_and_its_map_lives_for_one_task():
    bench = Bench()
    term, plain = (
        prepared(t, bench) for t in (ProjectedDistillation("linear"), FeatureDistillation())
    )
    step = bench.step()
    assert_close(term(step), plain(step))  # at the identity
    with torch.no_grad():
        term.back.weight.add_(0.1 * normal(0, *term.back.weight.shape))
    now, past = step["batch"].out.features, step["batch"].past.features
    assert_close(term(step), feature_distillation(term.back(now), past, spread=term.spread))
    assert float((term(step) - plain(step)).detach().abs()) > 1e-4
    term.consolidate(bench.learner, bench.task, bench.past)
    assert not list(term.parameters())


def test_it_has_no_map_in_the_first_task():
    bench, term = Bench(), ProjectedDistillation(of="embedding", distance="cosine")
    term.begin(bench.learner, bench.stream[0])
    assert not list(term.parameters())
    term.consolidate(bench.past, bench.stream[0])
    term.begin(bench.learner, bench.task)
    assert term.back.weight.shape == (16, 16)


# the cycle


def cycle_case(pairs=0.6, cycle=0.3):
    now, past = 2 + 3 * normal(7, 6, 4), 2 + 3 * normal(8, 6, 4)
    there, back = moved_map(1), moved_map(5, "linear")
    return now, past, there, back, cycle, pairs, 2.5


def test_the_cycle_equals_its_twin():
    now, past, there, back, *rest = cycle_case()
    twin = reference.cycle_distillation(
        now.tolist(), past.tolist(), twin_of(there), twin_of(back), *rest
    )
    assert float(cycle_distillation(*cycle_case()).detach()) == pytest.approx(twin)


def test_only_the_way_back_and_its_pairs_reach_the_network():
    now, past, there, back, _, pairs, spread = cycle_case()
    now.requires_grad_()
    cycle_distillation(now, past, there, back, 0.3, pairs, spread).backward()
    again = now.detach().clone().requires_grad_()
    undone = back(again)
    x, y = (torch.nn.functional.normalize(z) for z in (undone, past))
    alike = (x @ x.T - y @ y.T).square().mean()
    (feature_distillation(undone, past, spread=spread) + pairs * alike).backward()
    assert_close(now.grad, again.grad)


def test_the_ways_around_train_the_outer_map_alone():
    now, past, there, back, *_ = cycle_case()
    value = cycle_distillation(now, past, there, back, 1.0, 0.0, 1.0)
    ways = cycle_distillation(now, past, there, back, 0.0, 0.0, 1.0)
    around = torch.autograd.grad(value - ways, [there.weight, back.weight])
    outer = feature_distillation(there(back(now).detach()), now, spread=1.0)
    inner = feature_distillation(back(there(past).detach()), past, spread=1.0)
    expected = torch.autograd.grad(outer + inner, [there.weight, back.weight])
    assert_close(around, expected)


def test_the_term_gives_its_settings_to_the_function():
    bench = Bench()
    term = prepared(CycleDistillation(0.7, 0.2, "linear", of="embedding"), bench)
    with torch.no_grad():
        for number, p in enumerate(term.parameters()):
            p.add_(0.1 * normal(number, *p.shape))
    step = bench.step()
    now, past = step["batch"].out.embedding, step["batch"].past.embedding
    expected = cycle_distillation(now, past, term.there, term.back, 0.7, 0.2, term.spread)
    assert_close(value_of(term, step), expected)


def test_a_negative_weight_of_a_cycle_is_refused():
    with pytest.raises(ConfigError, match="at least 0, not cycle=-1"):
        CycleDistillation(-1.0)
