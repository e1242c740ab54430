"""Stationarity and the range of a quadratic model, where both are known in closed form."""

import math

import pytest
import torch

from holdfast.metrics.missing import reason_of
from holdfast.metrics.radius import gradient_gap, quadratic_radius, stationarity, stationarity_of


def test_stationarity_by_loops_and_by_sums():
    rows = torch.randn(50, 7, generator=torch.Generator().manual_seed(0)).double() + 0.2
    mean = sum(rows) / 50
    spread = sum(float((r - mean) @ (r - mean)) for r in rows) / 50
    expected = float(mean.norm()) / math.sqrt(spread / 50)
    assert stationarity(rows) == pytest.approx(expected)
    squares = float(rows.square().sum())
    assert stationarity_of(rows.sum(0), squares, 50) == pytest.approx(expected)


def test_stationarity_is_about_1_at_the_optimum_of_the_population():
    chance = torch.Generator().manual_seed(0)
    draws = [stationarity(torch.randn(200, 30, generator=chance)) for _ in range(20)]
    assert sum(draws) / 20 == pytest.approx(1, abs=0.1)
    assert reason_of(stationarity(torch.ones(1, 3))) == "it takes two rows"
    assert reason_of(stationarity(torch.full((5, 3), 0.1))) == "all gradients are equal"


@pytest.mark.parametrize(("c", "tolerance"), [(1.0, 0.5), (4.0, 0.1)])
def test_the_radius_of_a_cubic(c, tolerance):
    slope = lambda d: d + c * d**2 / 2
    one = torch.ones(1, dtype=torch.float64)
    radius = quadratic_radius(slope, one, 3 * one, tolerance)
    assert radius == pytest.approx(2 * tolerance / c, rel=1e-2)


def test_a_quadratic_has_no_radius_and_a_kink_none_either():
    H = torch.tensor([[2.0, 0.3], [0.3, 1.0]], dtype=torch.float64)
    d = torch.tensor([1.0, -2.0], dtype=torch.float64)
    assert quadratic_radius(lambda m: H @ m + 5, H @ (d / d.norm()), d) == math.inf
    kinked = lambda m: m + (m > 1e-5).double()  # its slope jumps beside w0
    one = torch.ones(1, dtype=torch.float64)
    assert quadratic_radius(kinked, one, one, reach=(1e-3, 1.0)) != math.inf
    nowhere = quadratic_radius(kinked, one, one, reach=(1e-3, 1.0))
    assert "at no length" in reason_of(nowhere)
    assert reason_of(quadratic_radius(kinked, one, 0 * one)) == "the weights did not move"
    assert "no curvature" in reason_of(quadratic_radius(kinked, 0 * one, one))


def test_the_gap_of_two_gradients():
    first, second = torch.tensor([3.0, 4.0]), torch.tensor([3.0, 1.0])
    assert gradient_gap(first, second) == pytest.approx(0.6)
    assert gradient_gap(first, first) == 0 and math.isnan(gradient_gap(0 * first, first))
