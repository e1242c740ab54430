"""Figures of the weights, against dense matrices on a network whose derivatives are exact."""

import math
from dataclasses import replace

import pytest
import torch

from holdfast.curvature.hessian import dense_hessian
from holdfast.curvature.likelihood import HeadSoftmax
from holdfast.diagnose.local import Local, likelihood_of, with_weights
from holdfast.diagnose.weights import sharpness, update_of
from holdfast.metrics.radius import gradient_gap, stationarity, stationarity_of
from holdfast.recipes import make
from holdfast.study.world import build


@pytest.fixture(scope="module")
def worlds():
    return {linear: build(0, linear) for linear in (False, True)}


def local(world, rows=60):
    return Local.of(world.past, HeadSoftmax(), world.old, world.old.train[slice(0, rows)])


@pytest.mark.parametrize("linear", [False, True])
def test_slopes_and_products_are_those_of_the_loss(worlds, linear):
    here = local(worlds[linear])
    torch.testing.assert_close(here.slope_at(torch.zeros_like(here.weights)), here.slope())
    H = dense_hessian(here.learner, here.task, here.layout, here.likelihood) / 60
    v = torch.randn(len(H), generator=torch.Generator().manual_seed(0)).double()
    torch.testing.assert_close(here.times(v), H @ v)
    small = 1e-6 * v
    torch.testing.assert_close(
        (here.slope_at(small) - here.slope()) / 1e-6, H @ v, rtol=1e-4, atol=1e-6
    )


def test_gradients_by_row_add_up(worlds):
    here = local(worlds[False], 12)
    rows = [replace(here.task, train=here.rows[slice(i, i + 1)]) for i in range(12)]
    each = torch.stack([replace(here, task=task).slope() for task in rows])
    total, squares = here.by_row()
    torch.testing.assert_close(total, each.sum(0))
    assert stationarity_of(total, squares, 12) == pytest.approx(stationarity(each))


def test_at_its_optimum_the_loss_is_stationary(worlds):
    world = worlds[True]
    here = local(world, len(world.old.train))
    assert stationarity_of(*here.by_row(), len(here.rows)) < 1e-6
    assert stationarity_of(*local(world, 20).by_row(), 20) > 0.1  # not of these rows alone


@pytest.mark.parametrize("linear", [False, True])
def test_prior_and_distillation_part_unless_the_model_is_linear(worlds, linear):
    world = worlds[linear]
    here = local(world, len(world.old.train))
    d = torch.randn(len(here.weights), generator=torch.Generator().manual_seed(1)).double()
    gaps = [gradient_gap(e * here.times(d), here.distilled_at(e * d)) for e in (1e-3, 1e-4)]
    if linear:
        assert gaps[1] == pytest.approx(gaps[0] / 10, rel=0.1) and gaps[0] < 0.01
    else:
        assert gaps[1] == pytest.approx(gaps[0], rel=0.05) and gaps[0] > 0.01


def test_sharpness_equals_the_dense_hessians(worlds):
    here = local(worlds[False])
    H = dense_hessian(here.learner, here.task, here.layout, here.likelihood) / 60
    some = sharpness(here, 0, 0)
    assert some["sharpness"] == pytest.approx(float(torch.linalg.eigvalsh(H)[-1]), rel=1e-6)
    error = some["sharpness_trace_error"]
    assert abs(some["sharpness_trace"] - float(H.trace())) < 5 * error + 1e-9
    w = here.weights
    spread = (2 * (w[:, None] * H * w).square().sum()).sqrt()
    assert abs(some["sharpness_scaled"] - float(H.diagonal() @ w**2)) < 3 * float(spread)


def test_an_earlier_network_is_remade_with_its_smaller_head(worlds):
    world = worlds[False]
    past = with_weights(world.learner, dict(world.past.state_dict()))
    x = world.new.train.x
    torch.testing.assert_close(past(x).logits, world.past(x).logits)
    assert past(x).logits.shape[1] == 4 and world.learner(x).logits.shape[1] == 6
    update = update_of(dict(world.past.state_dict()), dict(world.learner.state_dict()))
    assert update["head.weight"].shape == (4, 3) and not any(w.any() for w in update.values())


def test_the_likelihood_is_that_which_the_method_trains():
    assert isinstance(likelihood_of(make("lwf")), HeadSoftmax)
    prototypes = likelihood_of(make("fnc2", tau=0.3))
    assert prototypes is not None and math.isclose(prototypes.tau, 0.3)
    assert likelihood_of(make("co2l")) is None and likelihood_of(None) is None
