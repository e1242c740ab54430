"""Residuals off the planes of classes and tasks."""

import pytest
import torch
from torch.testing import assert_close

from clouds import UNEVEN, clouds, normal
from holdfast.core.errors import ConfigError
from holdfast.metrics import Planes, task_residuals
from holdfast.statistics import Statistics
from reference_heads import plane_residual

X, Y = clouds(UNEVEN)
FULL = Statistics.empty(5, "full").add(X, Y)


@pytest.mark.parametrize("share", [0.6, 0.9])
def test_a_residual_is_its_twin(share):
    planes, test = Planes.of(FULL, share), normal(1, 3, 5)
    found = planes.residuals(test)
    for k in range(4):
        rows = X[k == Y].double().tolist()
        for i, row in enumerate(test.tolist()):
            residual, tail = plane_residual(rows, row, share)
            assert float(found[i, k]) == pytest.approx(residual, rel=1e-5)
            assert float(planes.tails[k]) == pytest.approx(tail, rel=1e-5)


def test_the_mean_and_all_directions_leave_nothing_and_rows_sum_to_the_tail():
    planes = Planes.of(FULL, 0.7)
    assert float(planes.residuals(FULL.mean).diagonal().abs().max()) < 1e-20
    assert float(Planes.of(FULL, 1.0).residuals(normal(1, 4, 5)).max()) < 1e-9
    for k in range(4):
        rows = X[k == Y].double()
        total = float(planes.residuals(rows)[:, k].sum())
        assert total == pytest.approx((len(rows) - 1) * float(planes.tails[k]))


def test_it_is_a_mahalanobis_distance_whose_small_directions_shrink():
    planes, x = Planes.of(FULL, 0.7), normal(2, 3, 5)
    u, eps = planes.frames[1], 1e-9
    inside = u.T @ u
    inverse = inside + (torch.eye(5).double() - inside) / eps
    away = x - FULL.mean[1]
    distance = ((away @ inverse) * away).sum(1)
    assert_close(eps * distance, planes.residuals(x)[:, 1], rtol=1e-6, atol=1e-6)


def test_scales_are_tails_pooled_with_the_mean_and_classes_without_rows_are_infinitely_far():
    planes = Planes.of(Statistics.empty(5, "full").add(X, 2 * Y), 0.7)
    free = torch.tensor([8.0, 39.0, 15.0, 30.0]).double()
    left = planes.tails[::2] * free
    assert_close(planes.scales[::2], (left + 10 * left.sum() / free.sum()) / (free + 10))
    x = normal(3, 4, 5)
    assert planes.scaled(x)[:, 1::2].isinf().all()
    assert_close(planes.novelty(x), planes.scaled(x)[:, ::2].amin(1))
    assert_close(planes.network()(x.float()).double(), planes.novelty(x), rtol=1e-4, atol=1e-4)


def test_low_rank_planes_take_what_they_have():
    low = Statistics.empty(5, "low_rank", rank=2).add(X, Y)
    planes, full = Planes.of(low, 0.999), Planes.of(FULL, 0.999)
    assert [len(f) for f in planes.frames] == [2] * 4
    assert [len(f) for f in full.frames] > [2] * 4
    assert float(planes.tails.min()) > float(full.tails.max()) >= 0


def test_a_task_is_told_by_the_plane_of_all_its_classes():
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(4).repeat_interleave(40)
    wide = torch.arange(12) // 6 == (y % 2)[:, None]  # tasks 0 and 1 have directions of their own
    x = torch.randn(160, 12, generator=generator).double() * (wide + 0.01)
    statistics = Statistics.empty(12, "full").add(x, y)
    found = task_residuals(statistics, [0, 1, 0, 1], x, 0.95)
    assert found.shape == (160, 2)
    assert float((found.argmin(1) == y % 2).double().mean()) > 0.95


def test_one_row_a_class_is_no_division_by_nothing():
    planes = Planes.of(Statistics.empty(5, "factor").add(X[[0, 10]], torch.tensor([0, 1])))
    assert planes.scales.tolist() == [1.0, 1.0]
    assert_close(planes.residuals(X[[0]])[0, 0], torch.tensor(0.0).double())


@pytest.mark.parametrize(
    "structure, share", [("shared", 0.9), ("none", 0.9), ("full", 0.0), ("full", 1.5)]
)
def test_what_has_no_planes_is_refused(structure, share):
    with pytest.raises(ConfigError, match=r"planes need a scatter|a plane holds a share"):
        Planes.of(Statistics.empty(5, structure).add(X, Y), share)
