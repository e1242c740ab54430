"""The collapse gap on free features: min CE(H W^T) + w/2 ||W||^2 + h/2 ||H - H_0||^2 over W and H."""

import pytest
import torch
from torch.nn import functional

from clouds import normal
from holdfast.metrics import collapse_gap, nc1_quotient

Y = torch.arange(3).repeat_interleave(5)
START = normal(0, 15, 4).double() + 2 * torch.eye(3, 4).double()[Y]


def free_features(pull, decay=1e-2):
    """The features at the least value, H held to H_0 with the strength ``pull``."""
    features = START.clone().requires_grad_()
    weight = torch.zeros(3, 4, dtype=torch.float64, requires_grad=True)
    search = torch.optim.LBFGS(
        [features, weight], max_iter=120, line_search_fn="strong_wolfe", tolerance_grad=1e-10
    )

    def value():
        search.zero_grad()
        away = (features - START).square().sum() * pull / 2
        total = functional.cross_entropy(features @ weight.T, Y, reduction="sum")
        total = total + away + decay / 2 * weight.square().sum()
        total.backward()
        return total

    search.step(value)
    return features.detach()


def test_features_that_are_held_have_no_gap_and_free_ones_collapse():
    gaps = [collapse_gap(START, free_features(pull), Y) for pull in (1e6, 1.0, 0.1, 0.01)]
    assert gaps[0] == pytest.approx(0, abs=1e-4)
    assert gaps == sorted(gaps)
    assert gaps[-1] > 0.5 * nc1_quotient(START, Y)
