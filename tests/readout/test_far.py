"""What is strange: counted from the mean of the class, at most 1, and more where it lies far outside."""

import pytest
import torch
from torch.testing import assert_close

from clouds import by_class, clouds, said
from holdfast.readout import Select
from holdfast.readout.far import FAR, Outside
from holdfast.readout.ridge import solve_ridge
from holdfast.readout.select import REGRESSION
from holdfast.statistics import Statistics


def statistics_of(x, y):
    like = Statistics.empty(x.shape[1], "shared", 0, torch.zeros(1).double())
    return like.add(x.double(), y, int(y.max()) + 1)


def test_strangeness_equals_its_twin(fitted):
    x, y = clouds((40, 30, 50))
    readout = fitted(Select(), (x, y))
    regression = solve_ridge(statistics_of(x, y), REGRESSION, balance=True)
    rows = torch.cat([x[::7].double(), 30 * x[:3].double(), x[:2].double() * 0])
    centre = x.double().mean(0)
    square = ((x.double() - centre) ** 2).sum(1).mean()

    def strange(row):
        outside = max(0.0, float(((row - centre) ** 2).sum() / (9 * square)) - 1)
        return outside - min(1.0, float(regression(row[None])[0].max()))

    expected = torch.tensor([strange(row) for row in rows]).double()
    assert_close(readout.strangeness(readout.known, readout.decision, rows), expected)
    means = [float(strange(x.double()[y == k].mean(0))) for k in range(3)]
    own = readout.shift - readout.confidence.shift(3)
    assert own.tolist() == pytest.approx(means)
    taken = readout.decision(rows).argmax(1)
    assert_close(readout.strange(said(rows)), expected - readout.shift[taken])


def test_the_ball_is_three_times_the_mean_distance():
    x = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]]).double() + 5
    outside = Outside(statistics_of(x, torch.tensor([0, 0, 1, 1])))
    assert FAR == 9
    rows = 5 + torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 6.0]]).double()
    assert_close(outside(rows), torch.tensor([0.0, 0.0, 3.0]).double())


def test_a_threshold_stays_true_where_classes_come_one_by_one(fitted):
    x, y = clouds((80,) * 5)
    fresh, _ = clouds((400,) * 5, seed=1)
    readout = fitted(Select(), *by_class(x, y))
    alarms = readout.unknown(said(fresh), 0.1).reshape(5, 400).double().mean(1)
    assert float(alarms.mean()) < 0.15 and float(alarms.max()) < 0.35


def test_one_class_alone_tells_no_stranger(fitted):
    x, y = clouds((40,))
    readout = fitted(Select(), (x, y))
    assert not readout.unknown(said(9 * x), 0.1).any()


def test_a_file_from_before_is_read_by_its_own_measure(fitted):
    x, y = clouds((60,) * 4)
    readout = fitted(Select(), (x, y))
    state = readout.state_dict()
    extra = dict(state["_extra_state"])
    extra["confidence"] = extra["confidence"][:5]  # as it was written before
    old = Select()
    old.load_state_dict(state | {"_extra_state": extra})
    assert not old.confidence.centred
    assert_close(old.shift, old.confidence.shift(4))
    fitted_further = old.confidence.after(1.0, torch.arange(9).double(), (300, 4))
    assert fitted_further.centred and float(fitted_further.reach[-1]) == 8.0
