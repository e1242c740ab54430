"""Feature distillation: against its twin, and what it is relative to."""

from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

import reference
from checker import unchecked
from holdfast.anchor import FeatureDistillation, feature_distillation
from holdfast.core.errors import ConfigError, DataError
from holdfast.core.rows import Rows
from holdfast.core.settings import Training
from holdfast.core.step import Step
from holdfast.learner import Output
from holdfast.recipes import make
from holdfast.stream.task import Task
from holdfast.train.continual import Continual

DISTANCES = pytest.mark.parametrize("distance", ["square", "cosine"])


def features(seed, n=7, f=4):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, f, generator=generator, dtype=torch.float64)


@DISTANCES
def test_feature_distillation_equals_its_twin(distance):
    now, past = features(0), features(1)
    twin = reference.feature_distillation(now.tolist(), past.tolist(), distance)
    assert float(feature_distillation(now, past, distance)) == pytest.approx(twin, rel=1e-5)


@DISTANCES
def test_its_strength_does_not_depend_on_the_scale_of_the_features(distance):
    now, past = features(0), features(1)
    assert_close(
        feature_distillation(100 * now, 100 * past, distance),
        feature_distillation(now, past, distance),
    )


@DISTANCES
def test_a_network_that_is_its_past_owes_nothing(distance):
    past = features(1)
    now = past.clone().requires_grad_()
    value = feature_distillation(now, past, distance)
    value.backward()
    assert float(value.detach()) == pytest.approx(0, abs=1e-12)
    assert_close(now.grad, torch.zeros_like(now), atol=1e-6, rtol=0)


@DISTANCES
def test_gradients_are_right(distance):
    past = features(1)
    assert torch.autograd.gradcheck(
        lambda now: feature_distillation(now, past, distance), features(0).requires_grad_()
    )


@DISTANCES
def test_no_gradient_flows_into_the_past(distance):
    now, past = features(0).requires_grad_(), features(1).requires_grad_()
    feature_distillation(now, past, distance).backward()
    assert past.grad is None
    assert float(now.grad.abs().sum()) > 0


@pytest.mark.parametrize("of", ["features", "embedding"])
def test_the_term_asks_a_part_and_waits_for_a_past(of):
    now, past = (
        Output(features(s).float(), features(s + 2, f=3).float(), features(s)) for s in (0, 1)
    )
    y = torch.zeros(7, dtype=torch.long)
    parts = {"batch": Rows(torch.zeros(7, 1), y, y, torch.arange(7))}
    term = FeatureDistillation(of=of)
    assert float(term(Step(parts, lambda x: now))) == 0
    step = Step(parts, lambda x: now, lambda x: past, task=1)
    expected = feature_distillation(getattr(now, of), getattr(past, of))
    assert_close(term(step), expected)
    assert_close(step.records["features"], expected)


def test_collapsed_features_stay_finite():
    flat = torch.ones(3, 4)
    assert bool(feature_distillation(flat, flat).isfinite())
    assert bool(feature_distillation(0 * flat, 0 * flat, "cosine").isfinite())


# the spread is that of the earlier tasks


def task_of(x, index=0):
    y = torch.zeros(len(x), dtype=torch.long)
    rows = Rows(x.float(), y, y + index, torch.arange(len(x)))
    return Task(index, (0,), rows, rows)


def step_of(now, past):
    outputs_of = lambda h: Output(h, h, h)
    y = torch.zeros(len(now), dtype=torch.long)
    parts = {"batch": Rows(torch.zeros(len(now), 1), y, y, torch.arange(len(now)))}
    return Step(parts, lambda x: outputs_of(now), lambda x: outputs_of(past), task=1)


def test_the_spread_is_the_mean_over_the_rows_of_the_earlier_tasks(identity):
    """Each task's around its own mean; whatever a batch holds, one row or many that are alike."""
    term, tasks = FeatureDistillation(), [features(3, 7), 3 * features(4, 2) + 5]
    for index, x in enumerate(tasks):
        term.consolidate(identity, task_of(x, index))
    twin = sum(len(x) * reference.spread(x.tolist()) for x in tasks) / 9
    assert term.spread == pytest.approx(twin, rel=1e-6)
    for n in (1, 5):
        now, past = features(0, n).float(), features(1, 1).expand(n, -1).float()
        gap = sum(((a - b) ** 2).sum() for a, b in zip(now, past)) / n
        assert float(term(step_of(now, past))) == pytest.approx(float(gap) / twin, rel=1e-5)


def test_rows_that_are_alike_have_a_share_of_their_squared_length_as_spread(identity):
    one = torch.tensor([[3.0, 0.0, 4.0, 0.0]])
    assert float(feature_distillation(one + 1, one)) == pytest.approx(4 / (0.1 * 25))
    term = FeatureDistillation()
    term.consolidate(identity, task_of(one))
    assert term.spread == pytest.approx(2.5)


def test_moments_survive_into_a_fresh_object_and_an_older_state_has_none(identity):
    term, fresh = 2.0 * FeatureDistillation(), 2.0 * FeatureDistillation()
    term.of.consolidate(identity, task_of(features(3)))
    term.of.holds_backbone = True
    older = {name: value for name, value in fresh.state_dict().items() if "extra" not in name}
    fresh.load_state_dict(older)
    assert fresh.of.spread is None and not fresh.of.holds_backbone
    fresh.load_state_dict(term.state_dict())
    assert fresh.of.spread == term.of.spread and fresh.of.holds_backbone


@pytest.mark.parametrize("scale, narrow", [(0.0, True), (0.1, True), (0.5, False)])
def test_a_task_whose_rows_are_alike_holds_the_backbone(identity, scale, narrow):
    term = FeatureDistillation()
    term.begin(identity, task_of(features(3)))
    assert not term.holds_backbone  # nothing is old yet
    term.consolidate(identity, task_of(features(3)))
    term.begin(identity, task_of(5 + scale * features(3), 1))
    assert term.holds_backbone == narrow
    term.consolidate(identity, task_of(features(3), 1))
    assert not term.holds_backbone


@pytest.mark.parametrize("n", [1, 12])
def test_one_scene_leaves_what_the_network_sees_of_old_classes_bit_for_bit(n, tiny_stream):
    """Weights and batch statistics; the next task, of another kind, moves it again."""
    model = Continual(make("fnc2_strict", dim=8), (1, 8, 8), Training(epochs=2, batch=16, lr=0.05))
    x, y = tiny_stream[0].train.x, tiny_stream[0].train.y.tolist()
    model.learn(model.arrive(x, y))
    before = model.out(x)
    scene = tiny_stream[1].train.x[:1].expand(n, -1, -1, -1)
    task = model.arrive(scene, ["new"] * n)
    assert task.few == 1
    model.learn(replace(task, few=0))  # as if a stream had brought it
    after = model.out(x)
    assert torch.equal(before.features, after.features)
    assert not torch.equal(before.embedding, after.embedding)
    right = (model.scores(x).argmax(1) == tiny_stream[0].train.y).float().mean()
    assert float(right) > 0.95
    model.learn(model.arrive(tiny_stream[2].train.x, tiny_stream[2].train.y.tolist()))
    assert not torch.equal(before.features, model.out(x).features)
    assert all(p.requires_grad for p in model.learner.parameters())


# vectors of no length


def test_the_cosine_of_a_row_of_no_length_has_a_finite_gradient():
    past = torch.tensor([[1.0, 2.0], [0.0, 0.0], [1.0, 0.0]])
    now = torch.tensor([[0.0, 0.0], [3.0, 1.0], [0.0, 2.0]], requires_grad=True)
    value = feature_distillation(now, past, "cosine")
    value.backward()
    assert float(value.detach()) == pytest.approx((1 + 0 + 1) / 3)
    assert float(now.grad[0].norm()) < 1e3 and torch.equal(now.grad[1], torch.zeros(2))


# bad input


def test_what_does_not_fit_is_named():
    with pytest.raises(DataError, match=r"one shape, not \(2, 3\) and \(3, 3\)"):
        unchecked(feature_distillation)(torch.ones(2, 3), torch.ones(3, 3))
    with pytest.raises(ConfigError, match="spread of features must be positive, not 0"):
        feature_distillation(torch.ones(2, 3), torch.ones(2, 3), spread=0.0)
    with pytest.raises(ConfigError, match="unknown distance 'squared': did you mean 'square'"):
        unchecked(feature_distillation)(torch.ones(2, 3), torch.ones(2, 3), "squared")


def test_a_negative_weight_is_refused():
    with pytest.raises(ConfigError, match="weight must be at least 0"):
        make("fnc2_strict", features=-1.0)
