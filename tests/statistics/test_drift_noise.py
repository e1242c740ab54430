"""What a map leaves widens the scatters that it moves: ``+noise`` (section 9)."""

import pytest
import torch
from torch.testing import assert_close

from holdfast.core.errors import ConfigError
from holdfast.readout import Ridge, SharedGaussian
from holdfast.statistics import DriftRule, Statistics, fit_drift
from holdfast.statistics.drift import FITS
from holdfast.statistics.kinds import empty_scatter
from holdfast.statistics.noise import left_within
from reference_strict import left_within_classes
from statistics_clouds import WIDE, noise, past, turn

KINDS = ["shared", "full", "diagonal", "low_rank", "factor"]
Y = torch.arange(400) % 4


def drifted(size=1.0):
    """Rows that a linear map and noise of a size, narrower in some directions, moved."""
    x = past()
    return x, x + x @ turn(6) + 1 + size * noise(x) * torch.linspace(0.2, 2, WIDE)


@pytest.mark.parametrize("unseen", [0.0, 1e6])
def test_what_is_left_is_the_covariance_within_classes(unseen):
    x, now = past(30), past(30) + noise(past(30))
    y = torch.tensor([0, 7, 7] * 10)
    expected = torch.tensor(left_within_classes(now.tolist(), x.tolist(), y.tolist(), unseen))
    assert_close(left_within(now, x, y, unseen), expected.double())
    assert_close(left_within(x, x, y, unseen), torch.zeros(WIDE, WIDE, dtype=torch.float64))
    alone = left_within(now, x, None)
    assert_close(alone, torch.cov((now - x).T))


@pytest.mark.parametrize("kind", KINDS)
def test_a_scatter_with_noise_is_that_of_noisy_rows(kind):
    """Further deviations whose squares sum to n_k N have the scatter S_k + n_k N of each class."""
    rows, y = past(40) - 3, torch.arange(40) % 3
    covariance = torch.cov(noise(past(50)).T)
    count = torch.bincount(y, minlength=3).double()
    plain = empty_scatter(kind, WIDE, WIDE, rows).of(rows, y, 3)
    wide = plain.widened(count, covariance)
    values, vectors = torch.linalg.eigh(covariance)
    extra = WIDE**0.5 * values.sqrt()[:, None] * vectors.T  # WIDE rows of covariance N about 0
    more = [extra * (count[k] / WIDE) ** 0.5 for k in range(3)]
    labels = torch.arange(3).repeat_interleave(WIDE)
    expected = empty_scatter(kind, WIDE, WIDE, rows).of(
        torch.cat([rows, *more]), torch.cat([y, labels]), 3
    )
    assert_close(wide.pooled(), expected.pooled())
    if wide.by_class:
        for k in range(3):
            assert_close(wide.matrix(k), expected.matrix(k))


@pytest.mark.parametrize("kind", ["tail", "tail_low_rank"])
def test_noise_of_the_last_columns_is_all_that_they_get(kind):
    rows, y = past(40) - 3, torch.arange(40) % 2
    covariance = torch.cov(noise(past(50)).T)
    scatter = empty_scatter(kind, WIDE, 3, rows).of(rows, y, 2)
    wide = scatter.widened(torch.tensor([20.0, 20.0]).double(), covariance)
    assert_close(wide.matrix(1) - scatter.matrix(1), 20 * covariance[3:, 3:])


@pytest.mark.parametrize("by", ["ridge", "sylvester", "low_rank", "learned", "ridge+blend=0.1"])
def test_moved_rows_are_as_wide_as_they_really_are(by):
    """The map alone shrinks them; with what it leaves their covariance is that of new rows."""
    every = past(4800)
    moved = every + every @ turn(6) + 1 + noise(every, 12) * torch.linspace(0.2, 2, WIDE)
    x, now, other, moved = every[:800], moved[:800], every[800:], moved[800:]
    y = torch.zeros(len(other), dtype=torch.long)
    known = Statistics.empty(WIDE, "shared", like=other).add(other, y)
    truth = torch.cov(moved.T)
    plain = known.moved(fit_drift(x, now, by, Y.repeat(2))).scatter.pooled() / (len(other) - 1)
    wide = known.moved(fit_drift(x, now, by + "+noise", Y.repeat(2))).scatter.pooled() / (
        len(other) - 1
    )
    far = [float((matrix - truth).norm() / truth.norm()) for matrix in (plain, wide)]
    assert far[1] < 0.1 and far[1] < far[0]
    # what a discriminant asks is the inverse, to which the lost noise is more than it is to the trace
    lost = [float((torch.linalg.inv(m) - torch.linalg.inv(truth)).norm()) for m in (plain, wide)]
    assert lost[1] < 0.3 * lost[0]


@pytest.mark.parametrize("by", FITS)
def test_where_nothing_is_left_nothing_grows(by):
    x = past()
    assert fit_drift(x, x, by + "+noise", Y).noise is None  # nothing moved
    shifted = fit_drift(x, x + 2, by + "+noise", Y)
    assert float(shifted.noise.abs().max()) < 1e-9
    assert fit_drift(*drifted(), by, Y).noise is None  # not asked for
    assert fit_drift(past(5), past(5) + 1, by + "+noise").noise is None  # too few to tell


def test_the_noise_is_scaled_and_joined_with_the_other_parts():
    x, now = drifted()
    one, two = (fit_drift(x, now, f"ridge+noise={n}", Y) for n in (1, 2.5))
    assert_close(two.noise, 2.5 * one.noise)
    assert_close(two.linear, one.linear)
    blended = fit_drift(x, now, "ridge+blend=1e6+noise", Y)
    assert float(blended.noise.trace()) > float(one.noise.trace())  # all of the movement is left
    cut = fit_drift(x, now, "ridge+energy=0.9+noise", Y)
    assert_close(cut.noise, one.noise)
    full = Statistics.empty(WIDE, "full", like=x).add(x, Y)
    grown = full.moved(cut).scatter.matrix(2) - full.moved(cut.of).scatter.matrix(2)
    assert not torch.allclose(grown, torch.zeros_like(grown))
    with pytest.raises(ConfigError, match="above 0"):
        DriftRule.of("ridge+noise=-1")
    with pytest.raises(ConfigError, match="no map left"):
        DriftRule.of("none+noise")


def test_readouts_of_one_scatter_follow_with_noise_unless_told_otherwise():
    assert SharedGaussian().drift == Ridge().drift == "ridge+noise"
    assert SharedGaussian(drift="ridge").tracker.rule.noise is None
    assert SharedGaussian().tracker.rule.noise == 1.0
