"""Shesha: against loops, and the values that are known of random features."""

import math

import pytest
import torch

import reference_representation as twin
from holdfast.metrics import distance_drift, rotated, shesha, spearman
from holdfast.metrics.missing import reason_of
from holdfast.metrics.stability import cosine_distances


def gaussian(n, f, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, f, generator=generator, dtype=torch.float64)


def test_ranks_and_distances_equal_their_twins():
    a, b = gaussian(1, 40)[0], gaussian(1, 40, 1)[0]
    b = (b * 2).round() + (a * 2).round()  # with ties
    assert spearman(a, b) == pytest.approx(twin.spearman(a.tolist(), b.tolist()))
    x = gaussian(9, 5)
    assert cosine_distances(x).tolist() == pytest.approx(twin.cosine_distances(x))
    y = gaussian(9, 6, 2)
    expected = 1 - twin.spearman(cosine_distances(x).tolist(), cosine_distances(y).tolist())
    assert distance_drift(x, y) == pytest.approx(expected)


def test_random_features_say_nothing_of_each_other():
    assert abs(shesha(gaussian(150, 32))) < 0.03
    doubled = gaussian(200, 16)
    assert shesha(torch.cat([doubled, doubled], 1)) == pytest.approx(0.36, abs=0.06)
    assert shesha(gaussian(120, 3) @ gaussian(3, 64, 1)) == pytest.approx(0.96, abs=0.02)


def test_a_rotation_changes_it_and_not_the_distances():
    x = torch.cat([gaussian(60, 8)] * 2, 1)
    assert shesha(rotated(x)) != pytest.approx(shesha(x), abs=0.01)
    assert rotated(x).norm(dim=1).tolist() == pytest.approx(x.norm(dim=1).tolist())
    assert distance_drift(x, rotated(x)) == pytest.approx(0, abs=1e-6)


def test_an_odd_feature_is_left_out_and_many_rows_are_thinned():
    assert -1 <= shesha(gaussian(30, 7)) <= 1
    x = gaussian(60, 3) @ gaussian(3, 12, 1)
    assert shesha(x, most=40) == pytest.approx(shesha(x), abs=0.05)
    assert distance_drift(x, x, most=20) == pytest.approx(0)


def test_constant_distances_and_few_rows_are_no_number():
    rank_one = gaussian(20, 1).abs() @ gaussian(1, 8, 1).abs()
    assert reason_of(shesha(rank_one)) == "all distances are equal"
    assert reason_of(shesha(gaussian(3, 8))) == "it takes four rows, and there are 3"
    assert reason_of(shesha(gaussian(8, 3))) == "it takes four features, and there are 3"
    assert math.isnan(distance_drift(gaussian(3, 4), gaussian(3, 4)))
    assert math.isnan(distance_drift(rank_one, gaussian(20, 4)))
