"""Similarity of two representations: against dense formulas, and where the kinds must disagree."""

import math

import pytest
import torch

import reference_representation as twin
from holdfast.metrics import (
    aligned_similarity,
    cca,
    cka,
    mean_drift,
    procrustes,
    retrieval,
)
from holdfast.metrics.missing import reason_of
from holdfast.metrics.stability import rotated


def gaussian(n, f, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, f, generator=generator, dtype=torch.float64)


def related(n=60, f=5, g=7):
    x = gaussian(n, f) + 2
    return x, x @ gaussian(f, g, 1) + 0.7 * gaussian(n, g, 2)


def test_they_equal_their_twins():
    x, y = related()
    a, b = x.numpy(), y.numpy()
    assert cka(x, y) == pytest.approx(twin.cka_unbiased(a, b))
    assert cka(x, y, unbiased=False) == pytest.approx(twin.cka_plain(a, b))
    rho = twin.canonical_correlations(a, b)
    assert cca(x, y) == pytest.approx(((rho**2).mean(), rho.mean()))
    pad = torch.nn.functional.pad(x, (0, 2))
    assert procrustes(x, y) == pytest.approx(1 - twin.procrustes_distance(pad.numpy(), b) / 2)


@pytest.mark.parametrize(("n", "value"), [(100, 0.83), (1000, 0.34)])
def test_plain_cka_of_independent_rows_is_large_and_the_unbiased_is_not(n, value):
    x, y = gaussian(n, 512), gaussian(n, 512, 1)
    assert cka(x, y, unbiased=False) == pytest.approx(value, abs=0.01)
    assert abs(cka(x, y)) < 0.03


def test_rotation_scale_and_shift():
    x = gaussian(80, 6)
    turned = 3 * rotated(x) + 4
    for value in (cka(x, turned), procrustes(x, turned), *cca(x, turned)):
        assert value == pytest.approx(1)
    assert retrieval(turned, x) < 0.2


def test_an_invertible_map_is_seen_by_all_but_cca():
    x = gaussian(100, 6)
    y = x @ (gaussian(6, 6, 5) + torch.diag(torch.tensor([9.0, 1, 1, 1, 1, 0.1])).double())
    assert cca(x, y).mean == pytest.approx(1)
    assert cka(x, y) < 0.95 and procrustes(x, y) < 0.95


def test_few_rows_are_refused_where_any_data_would_agree():
    x, y = gaussian(20, 6), gaussian(20, 6, 1)
    refused = cca(x, y)
    assert all(math.isnan(value) for value in refused)
    assert reason_of(refused.mean) == "20 rows are fewer than 5 for each of 6 directions"
    assert math.isnan(procrustes(gaussian(5, 6), gaussian(5, 6, 1)))
    assert math.isnan(aligned_similarity(gaussian(40, 6), gaussian(40, 6, 1)).cka)
    assert reason_of(cka(x[:3], y[:3])) == "it takes four rows, and there are 3"
    same = torch.ones(30, 2)
    for value in (cka(same, same), procrustes(same, same), cca(same, same).mean):
        assert "equal" in reason_of(value)


def test_svcca_keeps_the_large_directions():
    x = gaussian(40, 20) * torch.cat([torch.full((3,), 100.0), torch.full((17,), 0.01)])
    assert math.isnan(cca(x, x).mean)
    assert cca(x, x, keep=0.99).mean == pytest.approx(1)


def test_aligned_similarity_undoes_a_map_that_retrieval_does_not():
    signal = gaussian(200, 4)
    x = torch.cat([signal, 0.3 * gaussian(200, 6, 1)], 1)
    y = rotated(x)
    both = aligned_similarity(x, y, k=4, keep=1.0)
    assert both.cka > 0.99 and both.retrieval > 0.99
    assert retrieval(x, y) < 0.2
    unrelated = aligned_similarity(gaussian(200, 4), gaussian(200, 4, 9))
    assert abs(unrelated.cka) < 0.2 and unrelated.retrieval < 0.2


def test_mean_drift_is_in_units_of_the_spread():
    x = gaussian(50, 3)
    spread = (x - x.mean(0)).square().sum(1).mean().sqrt()
    assert mean_drift(x, x + torch.tensor([2.0, 0, 0])) == pytest.approx(float(2 / spread))
    assert mean_drift(x, x) == 0
    assert math.isnan(mean_drift(x[:1], x[:1])) and math.isnan(mean_drift(x[:1].repeat(50, 1), x))
