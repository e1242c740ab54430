"""All that a learner is made of as plain data, so that it can stop at an epoch's end and go on elsewhere.

A state is nested dicts, lists, tuples, tensors, strings, numbers and None. Random states are not
among them: each epoch's randomness is seeded by its place.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from holdfast.core.errors import ConfigError
from holdfast.learner.learner import Learner
from holdfast.train.adaptation import end_adaptation, resume_adaptation
from holdfast.train.identity import refuse_other
from holdfast.train.progress import Progress
from holdfast.train.readouts import show_stages
from holdfast.train.result import Result

if TYPE_CHECKING:
    from holdfast.train.continual import Continual

State = dict[str, Any]
MATRICES = ("class_il", "task_il", "right_task")  # of a reading, filled row by row


def snapshot(core: Continual) -> State:
    """Everything, copied; to be asked between two epochs or tasks."""
    # that of another architecture is handed over again (`holdfast.train.succession`)
    past, before = None if core.progress.untaught else core.past, core.past_eval
    inside = core.progress.epochs > 0 and core.trainer is not None
    waiting = core.pending if core.progress.epochs else None  # taken up, and not gone on yet
    state = core.progress.to_dict() | {
        "identity": core.identity,
        "learner": dict(core.learner.state_dict()),
        "past": None if past is None else dict(past.state_dict()),
        "before": None if before is None or before is past else dict(before.state_dict()),
        "shared": before is not None and before is past,
        "optimizer": core.trainer.optimizer.state_dict() if inside and core.trainer else waiting,
        "parts": [dict(part.state_dict()) for part in stateful(core)],
    }
    return mapped(state, lambda tensor: tensor.detach().clone())


def restore(core: Continual, state: State) -> None:
    """Take over a state; the arguments and errors are those of `Continual.restore`."""
    refuse_other(core.identity, state["identity"])
    state = mapped(state, lambda tensor: tensor.to(core.fabric.device, copy=True))
    core.progress, core.trainer = Progress.from_dict(state), None
    if core.method.frame is not None:
        with warnings.catch_warnings():  # it was said when the classes came
            warnings.simplefilter("ignore")
            core.method.frame.extend(max(core.progress.seen, default=-1) + 1)
    resume_adaptation(core)
    _load(core.learner, state["learner"])
    if core.progress.task:
        end_adaptation(core)
    handed = core.progress.taken > 0 and core.progress.untaught
    if handed and core.past is None:
        raise ConfigError("this state goes on from another network: take that over first (--past).")
    if not handed:
        core.past = _frozen(core.learner, state["past"], core.setup.network.past_mode)
    before = _frozen(core.learner, state["before"], "eval")
    core.past_eval = core.past if state["shared"] else before
    if core.past_eval is None and core.setup.network.past_mode == "eval" and not handed:
        core.past_eval = core.past
    show_stages(core)
    for part, values in zip(stateful(core), state["parts"], strict=True):
        part.load_state_dict(values)
    core.pending = state["optimizer"]


def stateful(core: Continual) -> list[nn.Module]:
    """What has a state of its own next to the networks, in a fixed order."""
    return [*core.method.objectives, *core.method.rules, core.memory, *core.readouts.values()]


def recall(optimizer: torch.optim.Optimizer, state: State) -> None:
    """Give an optimiser its state; every tensor is laid out in memory like the weight it belongs to."""
    optimizer.load_state_dict(state)
    for weight, values in optimizer.state.items():
        for name, tensor in values.items():
            if isinstance(tensor, Tensor) and tensor.shape == weight.shape:
                values[name] = torch.empty_like(weight).copy_(tensor)


def mapped(thing: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """The same nested data with every tensor changed."""
    if isinstance(thing, Tensor):
        return change(thing)
    if isinstance(thing, Mapping):
        return {key: mapped(value, change) for key, value in thing.items()}
    if isinstance(thing, (list, tuple)):
        return type(thing)(mapped(value, change) for value in thing)
    return thing


def result_state(result: Result) -> State:
    """The figures of a result so far; its notes are in the state of what learns."""
    readings = {
        name: {
            f.name: getattr(reading, f.name).matrix.clone()
            if f.name in MATRICES
            else copy.deepcopy(getattr(reading, f.name))
            for f in fields(reading)
        }
        for name, reading in result.readings.items()
    }
    return {"readings": readings, "status": result.status}


def take_result(result: Result, state: State) -> None:
    """Take over figures."""
    for name, values in state["readings"].items():
        reading = result.readings[name]
        for column, value in values.items():
            if column in MATRICES:
                matrix = getattr(reading, column).matrix
                matrix[:] = value.to(matrix)
            else:
                setattr(reading, column, value)
    result.status = state["status"]


def _load(learner: Learner, state: State) -> None:
    """Weights into a learner, whose head takes as many rows as they have."""
    head = learner.head
    for name in ("weight", "bias"):
        setattr(head, name, nn.Parameter(torch.empty_like(state[f"head.{name}"])))
    learner.load_state_dict(state)


def _frozen(learner: Learner, state: State | None, mode: Any) -> Learner | None:
    """A past network with these weights."""
    if state is None:
        return None
    past = learner.freeze(mode)
    _load(past, state)
    return past.requires_grad_(False)
