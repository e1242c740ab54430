"""Neural collapse: against dense matrices and loops, and by what is known of simplices."""

import math

import pytest
import torch

import reference_representation as twin
from holdfast.learner.prototype import simplex_etf
from holdfast.metrics import (
    cdnv,
    collapse_gap,
    equinorm,
    nc1,
    nc1_quotient,
    nc2,
    nc3,
    nc4,
    prototype_alignment,
)
from holdfast.metrics.class_means import ClassMeans
from holdfast.metrics.missing import reason_of
from holdfast.metrics.stability import rotated

ROWS_FIGURES = {nc1: twin.nc1, nc1_quotient: twin.quotient, cdnv: twin.cdnv}


def rows(classes=(2, 3, 7), each=(5, 9, 4), f=6):
    generator = torch.Generator().manual_seed(0)
    draw = lambda *size: torch.randn(*size, generator=generator, dtype=torch.float64)
    y = torch.tensor([c for c, n in zip(classes, each) for _ in range(n)])
    centre = {c: 2 * draw(f) for c in classes}
    x = torch.stack([centre[int(c)] for c in y]) + draw(len(y), f)
    order = torch.randperm(len(y), generator=generator)
    return x[order], y[order]


@pytest.mark.parametrize("figure", ROWS_FIGURES)
@pytest.mark.parametrize("f", [2, 6, 40])
def test_figures_of_rows_equal_their_twins(figure, f):
    x, y = rows(f=f)
    assert figure(x, y) == pytest.approx(ROWS_FIGURES[figure](x, y), rel=1e-8)


@pytest.mark.parametrize("centred", [True, False])
def test_figures_of_means_equal_their_twins(centred):
    means, weights = ClassMeans.of(*rows()).means, rows()[0][:3]
    assert nc2(means, centred) == pytest.approx(twin.nc2(means, centred=centred))
    assert nc3(weights, means) == pytest.approx(twin.nc2(weights, means))


def test_what_is_known_of_a_simplex():
    simplex = simplex_etf(5, 8).double()
    assert nc2(simplex) < 1e-6 and equinorm(simplex) < 1e-6
    assert nc2(3 * simplex + 7) < 1e-6
    assert nc3(simplex, 2 * simplex) < 1e-6
    assert prototype_alignment(3 * simplex, simplex) == pytest.approx(1)
    frame = torch.eye(8, dtype=torch.float64)[:5]
    assert nc2(frame, centred=False) == pytest.approx(0.4595, abs=5e-5)
    assert nc2(frame) < 1e-15
    assert nc2(torch.randn(2, 3)) < 1e-7


@pytest.mark.parametrize(("r", "s", "K"), [(2.0, 0.5, 4), (1.0, 3.0, 6)])
def test_nc1_of_a_simplex_with_noise_in_its_span(r, s, K):
    simplex = simplex_etf(K, K + 3, seed=1).double()
    simplex = r * torch.nn.functional.normalize(simplex - simplex.mean(0), dim=1)
    span = torch.linalg.svd(simplex, full_matrices=False)[2][: K - 1]
    noise = s * (K - 1) ** 0.5 * torch.cat([span, -span])  # its covariance is s^2 I on the span
    x = (simplex[:, None] + noise).flatten(0, 1)
    y = torch.arange(K).repeat_interleave(len(noise))
    assert nc1(x, y) == pytest.approx(s**2 / r**2 * (K - 1) ** 2 / K)


def test_rotation_shift_and_scale_change_nothing():
    x, y = rows()
    other = 3 * rotated(x) + 5
    for figure in ROWS_FIGURES:
        assert figure(other, y) == pytest.approx(figure(x, y))
    means, turned = ClassMeans.of(x, y).means, ClassMeans.of(other, y).means
    assert nc2(turned) == pytest.approx(nc2(means)) and equinorm(turned) == pytest.approx(
        equinorm(means)
    )
    labels = y.unique()
    assert nc4(y, other, turned, labels) == nc4(y, x, means, labels)


def test_nc4_counts_rows_on_which_head_and_means_agree():
    x, means = torch.tensor([[0.1], [0.9], [0.6]]), torch.tensor([[0.0], [1.0]])
    assert nc4(torch.tensor([3, 8, 3]), x, means, torch.tensor([3, 8])) == pytest.approx(2 / 3)


def test_a_bank_in_one_direction_is_seen():
    apart = simplex_etf(6, 9).double()
    together = apart * 0.01 + torch.eye(9, dtype=torch.float64)[0]
    assert nc2(together, centred=False) > 0.9 and nc2(apart, centred=False) < 1e-6


def test_the_gap_of_a_stage():
    x, y = rows()
    assert collapse_gap(x, x, y) == 0
    wide = x + 4 * torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    assert collapse_gap(wide, x, y) == pytest.approx(twin.quotient(wide, y) - twin.quotient(x, y))


@pytest.mark.parametrize("figure", ROWS_FIGURES)
def test_too_few_rows_are_no_number(figure):
    x, y = rows()
    one = figure(x, torch.zeros_like(y))
    assert math.isnan(one) and reason_of(one) == "it takes two classes, and there is one"
    alone = figure(torch.cat([x, x[:1]]), torch.cat([y, torch.tensor([9])]))
    assert math.isnan(alone) and reason_of(alone) == "class 9 has one row, and a spread takes two"
    same = figure(torch.full((6, 4), 0.1), torch.tensor([0, 0, 0, 1, 1, 1]))
    assert math.isnan(same) and "equal" in reason_of(same)
    none = figure(x[:0], y[:0])
    assert reason_of(none) == "it takes two classes, and there is none"


def test_one_vector_is_no_simplex():
    for value in (
        nc2(torch.ones(1, 3)),
        nc3(torch.ones(1, 3), torch.ones(1, 3)),
        equinorm(torch.ones(1, 3)),
    ):
        assert math.isnan(value) and "two classes" in reason_of(value)
    assert reason_of(nc2(torch.full((3, 4), 0.1))) == "all vectors are equal"
    assert math.isnan(prototype_alignment(torch.zeros(2, 3), torch.ones(2, 3)))
