"""Drift maps: exact where the drift is of their kind, the identity where there is none (section 9)."""

import pytest
import torch
from torch.testing import assert_close

from holdfast.core.errors import ConfigError
from holdfast.statistics.drift import FEWEST, FITS, fit_drift
from statistics_clouds import WIDE, past, turn


@pytest.mark.parametrize("by", FITS)
def test_a_network_that_stood_still_maps_by_the_identity(by):
    x = past()
    drift = fit_drift(x, x, by)
    assert_close(drift(past(20, 1)), past(20, 1))
    assert drift.residual is None
    if drift.matrix is not None:
        assert_close(drift.matrix, torch.eye(WIDE, dtype=torch.float64))


@pytest.mark.parametrize("by", FITS)
def test_a_pure_translation_is_found(by):
    x, step = past(), torch.linspace(-1, 1, WIDE, dtype=torch.float64)
    drift = fit_drift(x, x + step, by)
    assert_close(drift(past(20, 1)), past(20, 1) + step)
    assert drift.residual == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    "by, rank, tolerance", [("ridge", 6, 2e-3), ("learned", 6, 2e-2), ("low_rank", 2, 4e-3)]
)
def test_a_linear_drift_is_found(by, rank, tolerance):
    x, b = past(), turn(rank)
    drift = fit_drift(x, x + x @ b + 1, by)
    new = past(50, 1)
    expected = new + new @ b + 1
    assert float((drift(new) - expected).norm() / (expected - new).norm()) < tolerance
    assert_close(drift.matrix, torch.eye(WIDE) + b, rtol=0, atol=10 * tolerance)
    assert 0 <= drift.residual < tolerance


@pytest.mark.parametrize("by", FITS)
def test_the_residual_is_the_share_of_movement_that_held_out_inputs_leave(by):
    x = past()
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    assert 0.9 < fit_drift(x, x + noise, by).residual < 1.3
    shift = torch.full((WIDE,), 3.0, dtype=torch.float64)  # 9 of 10 parts of the square
    assert fit_drift(x, x + shift + noise, by).residual == pytest.approx(0.1, abs=0.03)


def test_a_low_rank_map_moves_deviations_in_few_directions():
    x = past()
    drift = fit_drift(x, x + x @ turn(2), "low_rank")
    assert int((torch.linalg.svdvals(drift.linear) > 1e-6).sum()) == 2


def test_a_translation_is_that_of_the_inputs_around_a_mean():
    left, right = past(100, 1) - 50, past(100, 2) + 50
    x = torch.cat([left, right])
    step = torch.cat([torch.full_like(left, -2.0), torch.full_like(right, 3.0)])
    drift = fit_drift(x, x + step, "translation")
    moved = drift(torch.stack([left.mean(0), right.mean(0)]))
    assert_close(moved[0], left.mean(0) - 2)
    assert_close(moved[1], right.mean(0) + 3)
    assert drift.matrix is None


def twin_of_the_ridge(x, moved, strength):
    """The minimum of ||x B - m||^2 + s ||B||^2 of centred rows, as least squares with rows more."""
    centred, m = x - x.mean(0), moved - moved.mean(0)
    s = strength * float((centred**2).sum()) / WIDE
    rows = torch.cat([centred, s**0.5 * torch.eye(WIDE, dtype=torch.float64)])
    return torch.linalg.lstsq(rows, torch.cat([m, torch.zeros(WIDE, WIDE)])).solution


@pytest.mark.parametrize("n", [200, WIDE - 1, 3])
@pytest.mark.parametrize("strength", [1e-4, 1e-1, 10.0])
def test_the_ridge_is_least_squares_with_a_row_more_a_feature(strength, n):
    x = past(n)
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    found = FITS["ridge"][0](x, x @ turn(6) + noise)(strength)
    assert_close(found.linear, twin_of_the_ridge(x, x @ turn(6) + noise, strength))


def twin_of_the_descent(x, moved, steps):
    """Nesterov's steps on whole matrices, by autograd."""
    x, moved = x - x.mean(0), moved - moved.mean(0)
    rate = 1 / float(torch.linalg.matrix_norm(x, 2)) ** 2
    b = ahead = torch.zeros(WIDE, WIDE, dtype=torch.float64)
    for step in range(steps):
        at = ahead.clone().requires_grad_()
        (0.5 * ((x @ at - moved) ** 2).sum()).backward()
        after = ahead - rate * at.grad
        ahead, b = after + step / (step + 3) * (after - b), after
    return b


@pytest.mark.parametrize(
    ("by", "setting"),
    [("ridge", 0.1), ("sylvester", 0.1), ("low_rank", (2, 0.1)), ("learned", 30)],
)
def test_maps_of_fewer_rows_than_features_are_those_of_the_same_rows_again(by, setting):
    """The first go by the products of rows, the second by those of features."""
    x = past(WIDE - 2)
    chance = torch.Generator().manual_seed(9)
    moved = x @ turn(6) + torch.randn(x.shape, generator=chance, dtype=torch.float64)
    few = FITS[by][0](x, moved)(setting)
    again = FITS[by][0](torch.cat([x] * 3), torch.cat([moved] * 3))(setting)
    assert_close(few.linear, again.linear, rtol=1e-4, atol=1e-6)
    assert_close(few(x), again(x), rtol=1e-5, atol=1e-6)
    still = FITS[by][0](x[:1].expand(3, -1), moved[:1].expand(3, -1))(setting)
    assert_close(still.linear, torch.zeros(WIDE, WIDE).double())


@pytest.mark.parametrize("n", [200, WIDE - 1])
@pytest.mark.parametrize("steps", [1, 2, 30])
def test_the_learned_map_is_gradient_descent(steps, n):
    x = past(n)
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    found = FITS["learned"][0](x, x @ turn(6) + noise)(steps)
    assert_close(found.linear, twin_of_the_descent(x, x @ turn(6) + noise, steps))


@pytest.mark.parametrize("by", FITS)
@pytest.mark.parametrize("n", [1, 2, 3, 5, FEWEST - 1])
def test_a_few_inputs_are_no_evidence_of_how_others_moved(by, n):
    x = past(n)
    drift = fit_drift(x, x + 100, by)
    assert_close(drift(past(20, 1)), past(20, 1), rtol=0, atol=0)
    assert drift.residual is None
    if drift.matrix is not None:
        assert_close(drift.matrix, torch.eye(WIDE, dtype=torch.float64), rtol=0, atol=0)


@pytest.mark.parametrize("by", FITS)
@pytest.mark.parametrize("n", [FEWEST, FEWEST + 3])
def test_a_handful_of_inputs_tells_a_translation(by, n):
    x = past(n)
    drift = fit_drift(x, x + 1, by)
    assert_close(drift(x), x + 1, rtol=0, atol=1e-6)
    assert drift.residual == pytest.approx(0, abs=1e-12)


def test_an_unknown_map_is_refused():
    with pytest.raises(ConfigError, match="unknown drift 'rigde': did you mean 'ridge'"):
        fit_drift(past(), past(), "rigde")
