"""All that a run is made of as plain data, so that it can stop at an epoch's end and go on elsewhere.

A state is nested dicts, lists, tuples, tensors, strings, numbers and None. Random states are not
among them: each epoch's randomness is seeded by its place.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from holdfast.errors import ConfigError
from holdfast.learner.learner import Learner
from holdfast.loss.schedule import Schedule
from holdfast.memory.meter import Holdings
from holdfast.method import Method
from holdfast.result import Result, TaskNote

if TYPE_CHECKING:
    from holdfast.engine import Work

State = dict[str, Any]


@dataclass(frozen=True)
class Place:
    """How far a run has come.

    Attributes:
        task: index of the task it is in; all before it are learned.
        epochs: of this task that are done.
    """

    task: int = 0
    epochs: int = 0


def state_of(work: Work) -> State:
    """A snapshot of a run between two events; it shares no memory with the run."""
    learner, past, before = work.learner, work.past, work.before
    state = {
        "identity": work.identity,
        "place": asdict(work.place),
        "seconds": time.perf_counter() - work.started if work.place.epochs else 0.0,
        "learner": dict(learner.state_dict()),
        "past": None if past is None else dict(past.state_dict()),
        "before": None if before in (None, past) else dict(before.state_dict()),
        "shared": before is not None and before is past,
        "optimizer": work.optimizer.state_dict() if work.optimizer and work.place.epochs else None,
        "parts": [dict(part.state_dict()) for part in _parts(work)],
        "result": _result_state(work.result),
    }
    return mapped(state, lambda tensor: tensor.detach().clone())


def restore(work: Work, state: State) -> None:
    """Bring a run that was made from the same arguments to where the state was taken.

    Raises:
        ConfigError: if the state is of a run with other arguments, naming what differs.
    """
    refuse_other(work.identity, state["identity"])
    state = mapped(state, lambda tensor: tensor.to(work.fabric.device))
    _load(work.learner, state["learner"])
    work.past = _frozen(work, state["past"], work.model.past_mode)
    work.before = work.past if state["shared"] else _frozen(work, state["before"], "eval")
    for part, own in zip(_parts(work), state["parts"], strict=True):
        part.load_state_dict(own)
    _take_result(work.result, state["result"])
    work.place, work.spent = Place(**state["place"]), state["seconds"]
    work.momenta = state["optimizer"]


def recall(optimizer: torch.optim.Optimizer, state: State) -> None:
    """Give an optimiser its state; every tensor is laid out in memory like the weight it belongs to."""
    optimizer.load_state_dict(state)
    for weight, own in optimizer.state.items():
        for name, held in own.items():
            if isinstance(held, Tensor) and held.shape == weight.shape:
                own[name] = torch.empty_like(weight).copy_(held)


def identity_of(work: Work) -> State:
    """What a run must have been begun with for its state to be taken up; asked before it learns."""
    parts = {"method": described(work.method), "readouts": list(work.readouts)}
    return parts | work.settings | {"data": dict(work.result.data)}


def described(method: Method) -> State:
    """Every plain parameter of a method's parts, by its path, as they are before any learning."""
    parts = [*method.objectives, *method.rules, method.memory]
    plain = (bool, int, float, str, tuple, Schedule)
    found: State = {"name": method.name, "views": method.views, "dim": method.dim}
    for number, part in enumerate(parts):
        for path, module in part.named_modules():
            here = ".".join(filter(None, (type(part).__name__, str(number), path)))
            found |= {
                f"{here}.{name}": repr(value) if isinstance(value, (tuple, Schedule)) else value
                for name, value in vars(module).items()
                if not name.startswith("_") and isinstance(value, plain) and name != "training"
            }
    return found


def refuse_other(here: Mapping[str, Any], there: Mapping[str, Any]) -> None:
    """Stop if a state was taken with other arguments than those given now (ConfigError).

    >>> refuse_other({"seed": 1, "training": {"lr": 0.1}}, {"seed": 1, "training": {"lr": 0.5}})
    Traceback (most recent call last):
    holdfast.errors.ConfigError: this run was begun with training.lr 0.5, not 0.1: resume it with ...
    """
    now, then = dict(_leaves(here)), dict(_leaves(there))
    differing = [name for name in now.keys() | then.keys() if now.get(name) != then.get(name)]
    differing.sort(key=lambda n: (n not in now or n not in then, n.count("."), n))
    if not differing:
        return
    shown = [f"{n} {_short(then.get(n))}, not {_short(now.get(n))}" for n in differing[:4]]
    more = f" (and {len(differing) - 4} more)" if len(differing) > 4 else ""
    raise ConfigError(
        f"this run was begun with {'; '.join(shown)}{more}: resume it with the arguments and the "
        "data it was begun with, or start a new one."
    )


def mapped(thing: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """The same nested data with every tensor changed."""
    if isinstance(thing, Tensor):
        return change(thing)
    if isinstance(thing, Mapping):
        return {key: mapped(value, change) for key, value in thing.items()}
    if isinstance(thing, (list, tuple)):
        return type(thing)(mapped(value, change) for value in thing)
    return thing


def _parts(work: Work) -> list[nn.Module]:
    """What has a state of its own next to the networks, in a fixed order."""
    return [*work.method.objectives, *work.method.rules, work.memory, *work.readouts.values()]


def _load(learner: Learner, state: State) -> None:
    """Weights into a learner, whose head takes as many rows as they have."""
    head = learner.head
    for name in ("weight", "bias"):
        setattr(head, name, nn.Parameter(torch.empty_like(state[f"head.{name}"])))
    learner.load_state_dict(state)


def _frozen(work: Work, state: State | None, mode: Any) -> Learner | None:
    if state is None:
        return None
    past = work.learner.freeze(mode)
    _load(past, state)
    return past.requires_grad_(False)


def _result_state(result: Result) -> State:
    matrices = {n: [r.class_il.matrix, r.task_il.matrix] for n, r in result.readings.items()}
    return {
        "readings": matrices,
        "tasks": [asdict(note) for note in result.tasks],
        "status": result.status,
    }


def _take_result(result: Result, state: State) -> None:
    for name, matrices in state["readings"].items():
        reading = result.readings[name]
        for accuracy, matrix in zip((reading.class_il, reading.task_il), matrices, strict=True):
            accuracy.matrix[:] = matrix.to(accuracy.matrix)
    result.status = state["status"]
    result.tasks = [
        TaskNote(**(note | {"holdings": Holdings(**note["holdings"])})) for note in state["tasks"]
    ]


def _leaves(thing: Any, path: str = "") -> list[tuple[str, Any]]:
    if isinstance(thing, Mapping):
        inner = [_leaves(v, f"{path}.{k}" if path else str(k)) for k, v in thing.items()]
        return [leaf for leaves in inner for leaf in leaves]
    return [(path, list(thing) if isinstance(thing, tuple) else thing)]


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
