"""Feature distillation: against its twin, and what it is relative to."""

import pytest
import torch
from torch.testing import assert_close

import reference
from holdfast.anchor import FeatureDistillation, feature_distillation
from holdfast.errors import ConfigError
from holdfast.learner import Output
from holdfast.step import Step
from holdfast.stream.rows import Rows

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


def test_a_negative_weight_is_refused():
    from holdfast.recipes import make

    with pytest.raises(ConfigError, match="weight must be at least 0"):
        make("fnc2_strict", features=-1.0)
