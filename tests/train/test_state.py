"""A state fits the run it was taken of, and no other."""

import pytest
import torch

from holdfast.core.errors import ConfigError
from holdfast.core.settings import Machine, Network, Training
from holdfast.recipes import make
from holdfast.testing.compare import difference
from holdfast.testing.watched import CLOCK
from holdfast.train.events import TaskDone
from holdfast.train.runner import Run
from holdfast.train.setup import Setup

SETUP = Setup(Training(epochs=1, batch=16, lr=0.05), Network(width=4), Machine("cpu"))


def begun(stream, method=None, **changes):
    return Run(method or make("fnc2"), stream, SETUP.updated(**changes))


@pytest.fixture(scope="module")
def state(tiny_stream):
    work = begun(tiny_stream)
    next(work.events())
    return work.state()


@pytest.mark.parametrize(
    "change, words",
    [
        ({"method": make("fnc2", tau=0.7)}, "tau 0.1, not 0.7"),
        ({"method": make("fnc2", alpha="cosine")}, "weight"),
        ({"method": make("co2l")}, "method.name fnc2, not co2l"),
        ({"lr": 0.1}, r"training.lr 0.05, not 0.1"),
        ({"seed": 1}, "seed 0, not 1"),
        ({"also": ("mean",)}, "readouts"),
        ({"width": 8}, "model.width 4, not 8"),
    ],
)
def test_a_state_of_other_arguments_is_refused_by_name(state, tiny_stream, change, words):
    with pytest.raises(ConfigError, match=f"this run was begun with .*{words}"):
        begun(tiny_stream, **change).restore(state)


def test_a_state_of_other_data_is_refused(state, single_stream):
    with pytest.raises(ConfigError, match=r"data\.fingerprint"):
        begun(single_stream).restore(state)


def test_a_state_is_a_snapshot(tiny_stream):
    work = begun(tiny_stream)
    events = work.events()
    next(events)
    state = work.state()
    before = {name: tensor.clone() for name, tensor in state["learner"].items()}
    for _ in events:
        pass
    assert all(torch.equal(state["learner"][name], tensor) for name, tensor in before.items())
    assert not torch.equal(work.learner.head.weight[:2], before["head.weight"]) or any(
        not torch.equal(tensor, before[name])
        for name, tensor in work.learner.state_dict().items()
        if tensor.shape == before[name].shape
    )


def test_a_state_can_be_taken_up_twice(tiny_stream):
    """Going on from a state does not change the state: no part works on its tensors in place."""
    method = make("si")
    work = begun(tiny_stream, method, epochs=2)
    events = work.events()
    for _ in range(4):  # an epoch of the second task is done
        next(events)
    state, results = work.state(), []
    for _ in range(2):
        again = begun(tiny_stream, method, epochs=2)
        again.restore(state)
        assert list(again.events())
        results.append(again.state())
    assert not difference(*results, CLOCK)


def test_a_finished_run_restored_has_nothing_left_to_learn(tiny_stream):
    work = begun(tiny_stream)
    for _ in work.events():
        pass
    again = begun(tiny_stream)
    again.restore(work.state())
    assert list(again.events()) == []
    assert again.result.to_dict()["class_il"] == work.result.to_dict()["class_il"]
    assert again.result.status == "complete"


def test_seconds_before_the_stop_are_counted(state, tiny_stream):
    work = begun(tiny_stream)
    work.restore(state | {"seconds": 1000.0})
    done = next(event for event in work.events() if isinstance(event, TaskDone))
    assert 1000 < done.result.tasks[0].seconds < 1100
