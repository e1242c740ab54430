"""Needs: what a run will need of time, memory and disk, measured on a few steps of a copy."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from statistics import median

import torch

from holdfast.core.filed import FiledTensor
from holdfast.stream.task import Stream, Task
from holdfast.train.continual import Continual
from holdfast.train.result import peak_memory
from holdfast.train.runner import Run

TRIES = 3  # steps whose median counts, after one that warms up
COPIES = 3  # of the weights on disk: of the learner, and in a checkpoint with their momentum


@dataclass(frozen=True)
class Forecast:
    """What a run will need.

    Attributes:
        steps: of each task.
        first_step: seconds of a step in the first task.
        later_step: in the later ones, with what holds the past; 0 if there are none.
        seconds: of all: the steps, what ends a task, and measuring.
        memory: bytes of this process, or of the device, at their highest.
        disk: bytes of checkpoint and results.
        pixels: bytes of decoded images in a file; 0 where they are in memory.
    """

    steps: tuple[int, ...]
    first_step: float
    later_step: float
    seconds: float
    memory: int
    disk: int
    pixels: int

    def to_dict(self) -> dict[str, object]:
        """As plain data."""
        return asdict(self)


def forecast(work: Run) -> Forecast:
    """What a run will need; the run itself learns nothing.

    A copy learns a batch of the first task and one of the second a few times, ends both, and is asked
    once. Every step, every end of a task and every test row is then counted at that price: what grows
    with the classes, or with what is rehearsed by buffers, is not in it.

    Args:
        work: not begun.

    Raises:
        HoldfastError: for what a run may raise.
    """
    core, stream = work.continual, work.stream
    trial = copy.deepcopy(core)
    prices = [_price(trial, task) for task in stream.tasks[:2]]
    steps, seconds = tuple(_steps(core, stream)), 0.0
    for t, task in enumerate(stream):
        of = prices[min(t, 1)]
        tests = sum(len(other.test) for other in stream.tasks[: t + 1])
        seconds += steps[t] * of.step + of.end + len(task.train) * of.row + tests * of.asked
    weights = sum(w.nbytes for w in core.learner.state_dict().values())
    return Forecast(
        steps,
        prices[0].step,
        prices[1].step if len(prices) > 1 else 0.0,
        seconds,
        peak_memory(core.fabric.device),
        weights * (COPIES + (trial.past_eval is not None)),
        sum(x.nbytes for x in _files(stream)),
    )


@dataclass(frozen=True)
class Price:
    """Seconds of a step, of the end of a task and of each of its rows there, and of a row that is asked."""

    step: float
    end: float
    row: float
    asked: float


def _price(trial: Continual, task: Task) -> Price:
    """What a copy needs for a task, of which it learns one batch; and, on a copy of its own, four."""
    batch = trial.setup.training.batch
    few, more = _sample(task, batch), _sample(task, 4 * batch)
    _, longer = learned_for(copy.deepcopy(trial), more, 1)
    epochs, end = learned_for(trial, few, TRIES + 1)
    step = median(epochs[1:]) / -(-len(few.train) // batch) if epochs else 0.0
    apart = len(more.train) - len(few.train)
    row = max(0.0, longer - end) / apart if apart else 0.0
    begun = time.perf_counter()
    trial.out(few.train.x)
    asked = (time.perf_counter() - begun) / len(few.train)
    return Price(step, max(0.0, end - row * len(few.train)), row, asked)


def learned_for(core: Continual, task: Task, epochs: int) -> tuple[list[float], float]:
    """Seconds of each epoch of a task that a copy learns for so many, and of what ends it.

    Args:
        core: a copy; it keeps what it learned, and its settings.
        task: the next one.
        epochs: how many.
    """
    usual = core.setup
    core.setup = replace(
        usual, training=replace(usual.training, epochs=epochs, first_epochs=epochs, warmup=0.0)
    )
    begun, seconds = time.perf_counter(), []
    for epoch in core.epochs(replace(task, few=0)):
        seconds.append(epoch.seconds)
        begun = time.perf_counter()
    end = time.perf_counter() - begun
    core.setup = usual
    return seconds, end


def _sample(task: Task, size: int) -> Task:
    """So many rows, evenly from the task, each class among them."""
    rows = task.train
    first = torch.tensor([int((rows.y == k).nonzero()[0]) for k in task.classes])
    rest = max(0, min(size, len(rows)) - len(first))
    spread = torch.linspace(0, len(rows) - 1, rest).long()
    return replace(task, train=rows[torch.cat([first, spread]).unique()])


def _steps(core: Continual, stream: Stream) -> Iterator[int]:
    """Of each task, with what is rehearsed as a part of it."""
    training, before = core.setup.training, 0
    for task in stream:
        rows = len(task.train) + (before if core.protocol.kind == "joint" else 0)
        epochs = training.epochs_of(task.index) if core.method.trains(task.index) else 0
        yield epochs * -(-rows // training.batch)
        before += len(task.train)


def _files(stream: Stream) -> list[FiledTensor]:
    sides = [rows.x for task in stream for rows in (task.train, task.test)]
    return [x for x in sides if isinstance(x, FiledTensor)]
