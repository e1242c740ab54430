"""Uniformity: against its twin, and at the ends of its range."""

import pytest
import torch
from torch.testing import assert_close

import reference
from holdfast.core.errors import ConfigError
from holdfast.core.rows import Rows
from holdfast.core.step import Step
from holdfast.learner import Output, simplex_etf
from holdfast.loss import Uniformity, uniformity


@pytest.mark.parametrize("t", [0.5, 2.0, 10.0])
def test_uniformity_equals_its_twin(t):
    z = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
    assert float(uniformity(z, t)) == pytest.approx(reference.uniformity(z.tolist(), t), rel=1e-5)


def test_it_lies_between_one_point_and_points_far_apart():
    z = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
    assert_close(uniformity(torch.ones(8, 3)), torch.zeros(()), atol=1e-5, rtol=0)
    assert -8 < float(uniformity(z)) < 0
    spread = simplex_etf(8, 8).float()  # equidistant: the least there is for 8 rows
    assert float(uniformity(spread)) < float(uniformity(z))
    assert_close(uniformity(spread), torch.tensor(-2 * 2 * (1 + 1 / 7)), rtol=1e-4, atol=1e-4)


def test_its_gradient_is_that_of_finite_differences():
    z = torch.randn(5, 3, generator=torch.Generator().manual_seed(1)).double()
    assert torch.autograd.gradcheck(uniformity, z.requires_grad_())


def test_a_lone_row_costs_nothing():
    z = torch.ones(1, 3, requires_grad=True)
    uniformity(z).backward()
    assert torch.equal(z.grad, torch.zeros(1, 3))


@pytest.mark.parametrize("of", ["features", "embedding"])
def test_the_term_asks_a_part(of):
    out = Output(torch.randn(6, 4), torch.randn(6, 3), torch.zeros(6, 2))
    y = torch.zeros(6, dtype=torch.long)
    step = Step({"batch": Rows(torch.zeros(6, 1), y, y, torch.arange(6))}, lambda x: out)
    assert_close(Uniformity(of=of)(step), uniformity(getattr(out, of)))


def test_a_sharpness_that_is_none_is_refused():
    with pytest.raises(ConfigError, match="must be positive, not t=0"):
        Uniformity(t=0.0)
