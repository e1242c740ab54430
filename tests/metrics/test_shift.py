"""Spread of classes and divergence of domains where both are known."""

import math

import pytest
import torch

import reference_domains as twin
from holdfast.metrics import class_spread, domain_divergence, domain_odds, reason_of


def normal(n, *shift, seed=0):
    chance = torch.Generator().manual_seed(seed)
    return torch.randn(n, len(shift), generator=chance).double() + torch.tensor(shift).double()


def test_the_spread_equals_its_twin():
    x = normal(30, 0.0, 1.0, 2.0)
    y = torch.arange(30) % 4
    x[y == 2] += 3
    assert class_spread(x, y) == pytest.approx(twin.class_spread(x.tolist(), y.tolist()))


def test_the_spread_of_points_is_0_and_of_one_cloud_1():
    y = torch.arange(12) % 3
    assert class_spread(torch.eye(3)[y], y) == 0
    x = normal(6, 0.0, 0.0)
    assert class_spread(torch.cat([x, x]), torch.arange(12) // 6) == pytest.approx(1)
    assert reason_of(class_spread(torch.ones(4, 2), torch.arange(4) % 2)) == "all rows are equal"
    assert "one row" in reason_of(class_spread(x[:3], torch.tensor([0, 0, 1])))
    assert "two classes" in reason_of(class_spread(x, torch.zeros(6).long()))


@pytest.mark.parametrize("shift, known", [(0.0, 0.0), (1.0, 0.161), (2.0, 0.486), (4.0, 0.913)])
def test_two_normal_domains_have_the_divergence_that_is_known(shift, known):
    """For two normal clouds of one deviation the log of the ratio is linear: the bound is tight."""
    a, b = normal(4000, 0.0), normal(4000, shift, seed=1)
    assert domain_divergence(a, b) == pytest.approx(known, abs=0.03)


def test_sides_of_other_sizes_and_scales_weigh_alike():
    a, b = normal(4000, 0.0, 0.0), normal(1000, 2.0, 0.0, seed=1)
    assert domain_divergence(a, b) == pytest.approx(0.486, abs=0.05)
    assert domain_divergence(1e3 * a, 1e3 * b) == pytest.approx(domain_divergence(a, b), abs=1e-4)
    assert domain_divergence(a, b) == domain_divergence(a, b)


def test_more_features_than_rows_do_not_make_domains_of_chance():
    a, b = normal(20, *[0.0] * 60), normal(20, *[0.0] * 60, seed=1)
    assert domain_divergence(a, b) == 0
    assert "fewer than 4" in reason_of(domain_divergence(a[:3], b))


def test_odds_are_the_ratio_of_two_normal_densities():
    a, b = normal(6000, 0.0), normal(3000, 1.0, seed=1)
    expected = (a[:, 0] - 0.5).exp()
    near = a[:, 0].abs() < 1
    ratio = domain_odds(a, b)[near] / expected[near]
    assert float((ratio.log()).abs().max()) < 0.25
    assert math.isclose(float(domain_odds(a, b).mean()), 1, rel_tol=0.1)
