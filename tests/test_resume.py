"""A state fits the run it was taken of, and no other."""

from dataclasses import replace

import pytest
import torch

from holdfast.engine import Work
from holdfast.errors import ConfigError
from holdfast.events import TaskDone
from holdfast.recipes import make
from holdfast.settings import Machine, Model, Training

TRAINING = Training(epochs=1, batch=16, lr=0.05)
TINY = {"model": Model(width=4), "machine": Machine("cpu")}


def begun(stream, method=None, training=TRAINING, **options):
    return Work(method or make("fnc2"), stream, training, **(TINY | options))


@pytest.fixture(scope="module")
def state(tiny_stream):
    work = begun(tiny_stream)
    next(work.learn())
    return work.state()


@pytest.mark.parametrize(
    "change, words",
    [
        ({"method": make("fnc2", tau=0.7)}, "tau 0.1, not 0.7"),
        ({"method": make("fnc2", alpha="cosine")}, "weight"),
        ({"method": make("co2l")}, "method.name fnc2, not co2l"),
        ({"training": replace(TRAINING, lr=0.1)}, r"training.lr 0.05, not 0.1"),
        ({"seed": 1}, "seed 0, not 1"),
        ({"also": ["mean"]}, "readouts"),
        ({"model": Model(width=8)}, "model.width 4, not 8"),
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
    events = work.learn()
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


def test_a_finished_run_restored_has_nothing_left_to_learn(tiny_stream):
    work = begun(tiny_stream)
    for _ in work.learn():
        pass
    again = begun(tiny_stream)
    again.restore(work.state())
    assert list(again.learn()) == []
    assert again.result.to_dict()["class_il"] == work.result.to_dict()["class_il"]
    assert again.result.status == "complete"


def test_seconds_before_the_stop_are_counted(state, tiny_stream):
    work = begun(tiny_stream)
    work.restore(state | {"seconds": 1000.0})
    done = next(event for event in work.learn() if isinstance(event, TaskDone))
    assert 1000 < done.result.tasks[0].seconds < 1100
