import copy
import pickle

import pytest

from holdfast.core.errors import ConfigError
from holdfast.loss import Constant, Cosine, Delayed, Linear, Switch, make_schedule


def values(made, epochs):
    return [round(made.at(epoch, epochs), 6) for epoch in range(epochs)]


def test_each_schedule_by_hand():
    assert values(Linear(), 3) == [1, 0.5, 0]
    assert values(Cosine(), 3) == [1, 0.5, 0]
    assert values(Switch(0.5), 4) == [1, 1, 0, 0]
    assert values(Constant(0.3), 2) == [0.3, 0.3]
    assert values(Delayed(1, 3), 5) == [1, 1, 0.8, 0.6, 0.6]


def test_delayed_is_the_published_form():
    """1 until e0 = 30, then 1 - (e - e0)/E, constant after e1 = 80, for E = 100 epochs."""
    at = {epoch: Delayed(30, 80).at(epoch, 100) for epoch in (0, 30, 31, 55, 80, 99)}
    assert at == pytest.approx({0: 1, 30: 1, 31: 0.99, 55: 0.75, 80: 0.5, 99: 0.5})


def test_the_complement_adds_up_to_one():
    for made in (Linear(), Cosine(), Delayed(1, 2), Switch()):
        assert [a + b for a, b in zip(values(made, 5), values(1 - made, 5), strict=True)] == [1] * 5


def test_one_epoch_is_defined():
    assert [s.at(0, 1) for s in (Linear(), Cosine(), Delayed(), Switch())] == [1, 1, 1, 1]


@pytest.mark.parametrize(
    "text, made",
    [
        ("linear", Linear()),
        ("linear:0.8,0.2", Linear(0.8, 0.2)),
        ("delayed:3,9", Delayed(3, 9)),
        ("cosine", Cosine()),
        ("step:0.25", Switch(0.25)),
        ("constant:1", Constant(1)),
    ],
)
def test_written_forms(text, made):
    assert make_schedule(text) == made


@pytest.mark.parametrize(
    "text, message",
    [
        ("liner", "did you mean 'linear'"),
        ("delayed:x", "schedule delayed: e0 cannot be 'x': it must be a whole number"),
    ],
)
def test_what_cannot_be_read_is_named(text, message):
    with pytest.raises(ConfigError, match=message):
        make_schedule(text)


@pytest.mark.parametrize("text", ["linear", "delayed:3,9", "cosine", "step:0.25", "constant:0.5"])
def test_schedules_survive_pickling_and_copying(text):
    for made in (make_schedule(text), 1 - make_schedule(text)):
        for again in (pickle.loads(pickle.dumps(made)), copy.deepcopy(made)):
            assert again == made and values(again, 7) == values(made, 7)
