"""All that a run is made of as plain data, so that it can stop at an epoch's end and go on elsewhere.

A state is nested dicts, lists, tuples, tensors, strings, numbers and None. Random states are not
among them: each epoch's randomness is seeded by its place.
"""

from __future__ import annotations

import copy
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from holdfast.errors import ConfigError
from holdfast.learner.learner import Learner
from holdfast.loss.schedule import Schedule
from holdfast.memory.memory import Memory
from holdfast.memory.meter import Holdings
from holdfast.memory.protocol import Protocol
from holdfast.method import Method
from holdfast.readout.readout import Readout
from holdfast.result import Result, TaskNote
from holdfast.settings import Machine, Model, Training
from holdfast.stream.augment import Augment

State = dict[str, Any]
MATRICES = ("class_il", "task_il")  # of a reading, filled row by row


@dataclass(frozen=True)
class Place:
    """How far a run has come.

    Attributes:
        task: index of the task it is in; all before it are learned.
        epochs: of this task that are done.
    """

    task: int = 0
    epochs: int = 0


class Resumable:
    """How a `Continual`, whose attributes are named here, stops between epochs and goes on elsewhere.

    Attributes:
        epochs: of the task that is being learned, how many are done.
        identity: what its state belongs to: method, readouts and settings.
    """

    method: Method
    learner: Learner
    past: Learner | None
    before: Learner | None
    memory: Memory
    readouts: dict[str, Readout]
    protocol: Protocol
    training: Training
    model: Model
    machine: Machine
    augment: Augment
    fabric: Fabric
    seed: int
    labels: list
    seen: tuple[int, ...]
    done: int
    arrived: int
    notes: list[TaskNote]

    identity: State
    epochs: int = 0
    optimizer: torch.optim.Optimizer | None = None
    momenta: State | None = None  # what the optimiser of a task that is resumed is given
    known: tuple[int, ...] = ()  # classes before the task that is being learned
    former: tuple[list, int] | None = None  # labels and rows before a task that has arrived
    spent = started = 0.0  # seconds, of the task that is being learned

    @property
    def place(self) -> Place:
        """How far it has come."""
        return Place(self.done, self.epochs)

    def identify(self) -> State:
        """What it was made from; asked before it learns."""
        settings = {
            "protocol": str(self.protocol),
            "readouts": list(self.readouts),
            "training": asdict(self.training),
            "model": asdict(self.model),
            "precision": self.machine.precision,
            "augment": asdict(self.augment),
            "shape": list(self.learner.shape),
            "seed": self.seed,
        }
        return {"method": described(self.method), **settings}

    def open(self, optimizer: torch.optim.Optimizer) -> None:
        """A task begins with this optimiser, or goes on."""
        if self.momenta is not None:
            recall(optimizer, self.momenta)
        self.optimizer, self.momenta = optimizer, None

    def close(self) -> None:
        """A task is learned."""
        self.done += 1
        self.epochs, self.spent, self.optimizer, self.former = 0, 0.0, None, None

    def state(self) -> State:
        """A snapshot between two epochs or tasks, as plain data; it shares no memory with this."""
        labels, arrived = self.former or (self.labels, self.arrived)
        past, before, inside = self.past, self.before, self.epochs > 0
        state = {
            "identity": self.identity,
            "place": asdict(self.place),
            "classes": {
                "labels": list(labels),
                "arrived": arrived,
                "seen": self.known if inside else self.seen,
            },
            "seconds": time.perf_counter() - self.started if inside else 0.0,
            "notes": [asdict(note) for note in self.notes],
            "learner": dict(self.learner.state_dict()),
            "past": None if past is None else dict(past.state_dict()),
            "before": None if before is None or before is past else dict(before.state_dict()),
            "shared": before is not None and before is past,
            "optimizer": self.optimizer.state_dict() if self.optimizer and inside else None,
            "parts": [dict(part.state_dict()) for part in _parts(self)],
        }
        return mapped(state, lambda tensor: tensor.detach().clone())

    def restore(self, state: State) -> None:
        """Go on where a state was taken, bit for bit; the task that was begun must come again.

        Raises:
            ConfigError: for a state of other arguments than this was made from, naming what differs.
        """
        refuse_other(self.identity, state["identity"])
        state = mapped(state, lambda tensor: tensor.to(self.fabric.device))
        classes = state["classes"]
        self.labels, self.arrived = list(classes["labels"]), classes["arrived"]
        self.seen, self.former = tuple(classes["seen"]), None
        if self.method.frame is not None:
            with warnings.catch_warnings():  # it was said when the classes came
                warnings.simplefilter("ignore")
                self.method.frame.extend(max(self.seen, default=-1) + 1)
        _load(self.learner, state["learner"])
        self.past = _frozen(self.learner, state["past"], self.model.past_mode)
        before = _frozen(self.learner, state["before"], "eval")
        self.before = self.past if state["shared"] else before
        for part, own in zip(_parts(self), state["parts"], strict=True):
            part.load_state_dict(own)
        self.done, self.epochs = state["place"]["task"], state["place"]["epochs"]
        self.spent, self.momenta = state["seconds"], state["optimizer"]
        self.notes = [
            TaskNote(**(note | {"holdings": Holdings(**note["holdings"])}))
            for note in state["notes"]
        ]


def recall(optimizer: torch.optim.Optimizer, state: State) -> None:
    """Give an optimiser its state; every tensor is laid out in memory like the weight it belongs to."""
    optimizer.load_state_dict(state)
    for weight, own in optimizer.state.items():
        for name, held in own.items():
            if isinstance(held, Tensor) and held.shape == weight.shape:
                own[name] = torch.empty_like(weight).copy_(held)


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


def _parts(core: Resumable) -> list[nn.Module]:
    """What has a state of its own next to the networks, in a fixed order."""
    return [*core.method.objectives, *core.method.rules, core.memory, *core.readouts.values()]


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


def _leaves(thing: Any, path: str = "") -> list[tuple[str, Any]]:
    if isinstance(thing, Mapping):
        inner = [_leaves(v, f"{path}.{k}" if path else str(k)) for k, v in thing.items()]
        return [leaf for leaves in inner for leaf in leaves]
    return [(path, list(thing) if isinstance(thing, tuple) else thing)]


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
