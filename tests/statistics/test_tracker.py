"""Statistics that follow a network: what moves them, what must not, and that state is data."""

import pytest
import torch
from torch.testing import assert_close

from holdfast.core.errors import ConfigError
from holdfast.statistics import GaussianSource, Tracker, fit_drift
from holdfast.statistics.drift import FITS
from holdfast.statistics.tracker import NARROW, spreads

WIDE = 4


def rows(n, seed=0, centre=0.0, scale=1.0):
    generator = torch.Generator().manual_seed(seed)
    return centre + scale * torch.randn(n, WIDE, generator=generator, dtype=torch.float64)


def tracker_of(drift="ridge", structure="shared", rank=2):
    """Two classes, 6 apart."""
    tracker = Tracker(drift, structure, rank)
    x = torch.cat([rows(50, 1), rows(50, 2, 3.0)])
    y = torch.arange(2).repeat_interleave(50)
    tracker.statistics = tracker.moved(x, None).add(x, y)
    return tracker


def assert_same(a, b):
    assert a.state().keys() == b.state().keys()
    for name, value in a.state().items():
        assert torch.equal(value, b.state()[name]), name


@pytest.mark.parametrize("drift", FITS)
@pytest.mark.parametrize("n", [1, 2, 5, 9])
def test_a_few_rows_leave_the_old_classes_where_they_are(drift, n):
    """The network was trained on these rows, and moved them far away."""
    tracker = tracker_of(drift)
    before, x = tracker.statistics, rows(n, 3, 8.0)
    assert_same(tracker.moved(x + 40, x), before)
    assert tracker.residuals == [None]


@pytest.mark.parametrize("drift", FITS)
@pytest.mark.parametrize("spread", [0.0, 0.01, 0.05])
@pytest.mark.parametrize("structure", ["none", "shared", "full", "diagonal", "low_rank"])
def test_near_duplicates_leave_the_old_classes_where_they_are(drift, spread, structure):
    """Frames of one scene: the network may do anything with them, and all agree on it."""
    tracker = tracker_of(drift, structure)
    before, x = tracker.statistics, rows(30, 3, 8.0, spread)
    now = 40 + 5 * (x - 8.0)  # the map takes them apart, and far from where they were
    assert_same(tracker.moved(now, x), before)
    assert tracker.residuals == [None]


@pytest.mark.parametrize("structure", ["none", "shared", "full"])
def test_rows_that_spread_move_the_old_classes_by_the_map(structure):
    tracker = tracker_of("ridge", structure)
    x = rows(60, 3, 8.0)
    now = 1.2 * x - 1
    drift = fit_drift(x, now, "ridge")
    expected = tracker.statistics.moved(drift)
    assert_same(tracker.moved(now, x), expected)
    assert tracker.residuals == [drift.residual]
    assert 0 <= drift.residual < 0.01
    assert_close(expected.mean, 1.2 * tracker.statistics.mean - 1, rtol=0.02, atol=0.05)


def test_spread_is_compared_with_that_of_all_known_rows():
    """Of two classes 6 apart in 4 features: between 4 * 1.5^2, within 4."""
    known = tracker_of("ridge").statistics
    x = torch.cat([rows(50, 1), rows(50, 2, 3.0)])
    total = float(((x - x.mean(0)) ** 2).sum(1).mean())
    unit = rows(1000, 5)
    unit = (unit - unit.mean(0)) / float(((unit - unit.mean(0)) ** 2).sum(1).mean()) ** 0.5
    assert spreads(known, unit * (1.02 * NARROW * total) ** 0.5)
    assert not spreads(known, unit * (0.98 * NARROW * total) ** 0.5)


def test_without_a_drift_or_a_past_nothing_moves():
    x = rows(60, 3, 8.0)
    for tracker, past in ((tracker_of("none"), x), (tracker_of("ridge"), None)):
        before = tracker.statistics
        assert tracker.moved(x + 5, past) is before
        assert tracker.residuals == []


@pytest.mark.parametrize("structure", ["none", "shared", "full", "diagonal", "low_rank"])
def test_state_goes_into_a_fresh_tracker(structure):
    tracker = tracker_of("ridge", structure)
    tracker.moved(rows(3), rows(3))
    fresh = Tracker("ridge", structure, 2)
    fresh.load(tracker.state())
    assert_same(fresh.statistics, tracker.statistics)
    assert fresh.residuals == [None]
    fresh.load(Tracker("ridge", structure, 2).state())
    assert fresh.statistics is None and fresh.residuals == []


def test_unknown_names_are_refused():
    with pytest.raises(ConfigError, match="unknown drift 'rigde': did you mean 'ridge'"):
        Tracker("rigde")
    with pytest.raises(ConfigError, match="unknown structure 'ful': did you mean 'full'"):
        GaussianSource("ridge", structure="ful")


# a source of pseudo-features


def test_a_source_draws_what_it_was_given():
    source = GaussianSource("none")
    x, y = torch.cat([rows(500, 1), rows(500, 2, 3.0)]), torch.arange(2).repeat_interleave(500)
    source.update(x, y, 2)
    drawn, classes = source.draw(5000, seed=3)
    assert drawn.shape == (10_000, WIDE) and classes.bincount().tolist() == [5000, 5000]
    for k in range(2):
        assert_close(drawn[classes == k].mean(0), x[y == k].mean(0), rtol=0, atol=0.05)
    again, _ = source.draw(5000, seed=3)
    assert torch.equal(again, drawn)


def test_a_source_takes_the_state_of_a_gaussian_readout():
    """The form in which checkpoints of earlier versions hold it."""
    source = GaussianSource("ridge")
    x, y = rows(40), torch.arange(2).repeat(20)
    source.update(x, y, 2)
    older = source.get_extra_state() | {
        "temperature": torch.tensor(1.5), "reach": torch.rand(101)
    }  # fmt: skip
    del older["forecasts"]
    assert set(older) == {"count", "mean", "shared", "residuals", "temperature", "reach"}
    fresh = GaussianSource("ridge")
    fresh.set_extra_state(older)
    assert_same(fresh.known, source.known)
    assert torch.equal(fresh.draw(5)[0], source.draw(5)[0])


def test_a_source_that_saw_nothing_says_so():
    with pytest.raises(ConfigError, match="has seen no class yet"):
        GaussianSource().draw(3)
