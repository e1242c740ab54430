"""Dimensions of a representation: against loops, and for data whose dimension is known."""

import math

import pytest
import torch

import reference_representation as twin
from holdfast.learner.prototype import simplex_etf
from holdfast.metrics import effective_rank, participation_ratio, two_nn
from holdfast.metrics.missing import reason_of


def cube(dimension, n=2000):
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(n, dimension, generator=generator, dtype=torch.float64)
    basis = torch.linalg.qr(torch.randn(20, 20, generator=generator, dtype=torch.float64))[0]
    return x @ basis[:dimension]


@pytest.mark.parametrize("cut", [0.1, 0.3])
def test_two_nn_equals_its_twin_and_drops_duplicates(cut):
    x = cube(3, 60)
    some = two_nn(torch.cat([x, x[:4]]), cut)
    assert some[:2] == pytest.approx(twin.two_nn(x, cut)) and some.dropped == 4


@pytest.mark.parametrize(("dimension", "value"), [(2, 2.0), (5, 4.65), (10, 8.6)])
def test_two_nn_of_cubes_is_low_where_the_dimension_is_high(dimension, value):
    some = two_nn(cube(dimension))
    assert some.slope == pytest.approx(value, rel=0.08)
    assert some.likelihood == pytest.approx(value, rel=0.08)
    assert two_nn(7 * cube(dimension, 300)).slope == pytest.approx(
        two_nn(cube(dimension, 300)).slope
    )


def test_equal_eigenvalues_are_counted():
    x = torch.cat([torch.eye(4), -torch.eye(4)]).double()
    x = torch.nn.functional.pad(x, (0, 3))
    assert participation_ratio(x) == pytest.approx(4) and effective_rank(x) == pytest.approx(4)
    assert participation_ratio(1e-9 * x) == pytest.approx(4)
    simplex = simplex_etf(6, 20)
    assert participation_ratio(simplex, all_rows=True) == pytest.approx(5)


def test_unequal_eigenvalues_by_hand():
    x = torch.diag(torch.tensor([3.0, 1.0])).double()
    x = torch.cat([x, -x])  # shares 0.9 and 0.1
    assert participation_ratio(x) == pytest.approx(1 / (0.81 + 0.01))
    assert effective_rank(x) == pytest.approx(math.exp(-0.9 * math.log(0.9) - 0.1 * math.log(0.1)))


def test_too_few_rows_are_no_number():
    x = cube(2, 30)
    assert reason_of(participation_ratio(x[:19])) == "19 rows are fewer than the 20 features"
    assert math.isnan(effective_rank(x[:1])) and math.isnan(effective_rank(torch.ones(9, 3)))
    few = two_nn(x[:5].repeat(4, 1))
    assert (
        reason_of(few.slope) == "it takes 10 different rows, and there are 5" and few.dropped == 15
    )
    circle = torch.stack([torch.eye(12)[i] for i in range(12)])
    assert math.isnan(two_nn(circle).slope)
