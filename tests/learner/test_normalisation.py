"""Feature vectors of any offset and size are standardised before anything is rounded to float32."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from holdfast.core.numerics import log_clip, to_device
from holdfast.learner import Learner
from holdfast.stream.arrays import inputs


def seen_by_the_backbone(learner, x):
    """What the backbone is given for the inputs."""
    seen = []
    hook = learner.backbone.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    learner(x)
    hook.remove()
    return seen[0]


def cloud(dtype=torch.float64):
    return torch.randn(64, 3, generator=torch.Generator().manual_seed(0)).to(dtype)


@pytest.mark.parametrize("offset", [0.0, 1e8, 1.7e9, 1e12])
@pytest.mark.parametrize("scale", [1e-200, 1.0, 1e200])
def test_offset_and_size_of_float64_features_leave_no_trace(offset, scale):
    x = cloud()
    learner = Learner((3,), width=4)
    learner.normalise_by((x + offset) * scale)
    seen = seen_by_the_backbone(learner, (x + offset) * scale)
    expected = (x - x.mean(0)) / x.std(0, correction=0)
    assert seen.dtype == torch.float32
    assert_close(seen, expected.float(), atol=1e-3, rtol=1e-3)


def test_float32_features_are_computed_in_float32_as_they_are():
    x = 5 + 3 * cloud(torch.float32)
    learner = Learner((3,), width=4)
    learner.normalise_by(x)
    expected = (x - x.mean(0)) / x.std(0, correction=0)
    assert torch.equal(seen_by_the_backbone(learner, x), log_clip(expected))


@pytest.mark.parametrize("size", [1e-30, 1e30])
def test_float32_features_whose_squares_have_no_float32_are_standardised(size):
    x = cloud(torch.float32)
    learner = Learner((3,), width=4)
    learner.normalise_by(x * size)
    expected = (x - x.mean(0)) / x.std(0, correction=0)
    assert_close(seen_by_the_backbone(learner, x * size), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("size", [1e-30, 3e30])
def test_a_single_row_of_any_size_keeps_its_size(size):
    learner = Learner((2,), width=4)
    learner.normalise_by(torch.tensor([[3.0, 4.0]]) * size)
    assert_close(learner.std.float() / size, torch.full((2,), 12.5**0.5))


def test_rounding_is_no_variation_but_a_second_is():
    """A constant feature with rounding in it, and a time in nanoseconds."""
    x = torch.stack([0.1 + 1e-16 * cloud()[:, 0], 1.7e18 + 1e9 * cloud()[:, 1]], 1)
    learner = Learner((2,), width=4)
    learner.normalise_by(x)
    assert_close(learner.std, x[:, 1].std(correction=0).expand(2))


def test_features_far_from_those_of_the_first_task_stay_finite():
    learner = Learner((2,), width=4, classes=2)
    learner.normalise_by(cloud()[:, :2])
    for x in (torch.tensor([[1e300, -1e300]]).double(), torch.tensor([[3e38, -3e38]])):
        assert all(bool(column.isfinite().all()) for column in learner(x.double())[:4])


def test_the_normalisation_survives_a_state_of_float32_and_a_conversion():
    learner, old = Learner((3,), width=4), Learner((3,), width=4)
    learner.normalise_by(cloud() + 1e8)
    state = old.state_dict() | {"mean": torch.ones(3), "std": torch.ones(3)}
    old.load_state_dict(state)  # as models of the first format hold it
    assert old.mean.dtype == torch.float64 and old.mean.tolist() == [1.0] * 3
    again = Learner((3,), width=4)
    again.load_state_dict(learner.state_dict())
    assert torch.equal(again.mean, learner.mean)


def test_devices_without_float64_are_given_float32():
    assert to_device(torch.ones(2).double(), "cpu").dtype == torch.float64
    assert to_device(torch.ones(2).double(), "meta").device.type == "meta"


KINDS = {
    "float16": "float32", "float32": "float32", "float64": "float64", "longdouble": "float64",
    "bool": "float32", "uint8": "float32", "int16": "float32",
    "int32": "float64", "int64": "float64", "uint64": "float64",
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_features_rest_in_the_precision_they_came_in(kind):
    x = inputs(np.ones((2, 3), kind), "x")
    assert x.dtype == KINDS[kind] and (x == 1).all()


def test_whole_numbers_that_float32_would_merge_stay_apart():
    x = inputs(np.array([[2**40], [2**40 + 1]]), "x")
    assert x[1, 0] - x[0, 0] == 1
