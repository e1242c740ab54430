"""A run on a small stream that was watched: its states, its forward passes, what it kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from holdfast.core.settings import Machine, Network, Training
from holdfast.core.step import Step
from holdfast.learner.learner import Learner
from holdfast.loss.term import Term
from holdfast.recipes.method import Method
from holdfast.stream.task import Stream, Task
from holdfast.testing.compare import through_disk
from holdfast.testing.streams import small_stream
from holdfast.train.events import Event, TaskDone
from holdfast.train.result import Result
from holdfast.train.runner import Run
from holdfast.train.setup import Setup

CLOCK = ("seconds", "peak_memory_bytes")  # what a clock or the machine says, not the run
QUICK = Setup(Training(epochs=2, batch=16, lr=0.05), Network(width=4), Machine("cpu"))
PASSES: list[bool] = []  # of every forward pass since it was cleared: whether the network is frozen


@dataclass(frozen=True)
class Cost:
    """Forward passes of one step.

    Attributes:
        task: index.
        parts: names of the step's parts that have rows.
        learner: passes of the network that learns.
        past: passes of the past network.
    """

    task: int
    parts: tuple[str, ...]
    learner: int
    past: int


class Meter(Term):
    """A term worth 0, asked last, that notes what a step cost."""

    label = "meter"
    NAMES = ("batch", "new", "old", "memory", "memory_2", "given", "turned", "mixed")

    def __init__(self):
        super().__init__()
        self.costs: list[Cost] = []

    def begin(self, learner: Learner, task: Task) -> None:
        """Count from here."""
        PASSES.clear()

    def value(self, part: Any, step: Step) -> Tensor:
        """0."""
        frozen = sum(PASSES)
        names = tuple(name for name in self.NAMES if step.find(name) is not None)
        self.costs.append(Cost(step.task, names, len(PASSES) - frozen, frozen))
        PASSES.clear()
        return step.zero


@contextmanager
def counting() -> Iterator[None]:
    """Inside, every forward pass of a learner is noted in `PASSES`."""

    def note(module: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(module, Learner):
            PASSES.append(not any(p.requires_grad for p in module.parameters()))

    handle = nn.modules.module.register_module_forward_hook(note)
    try:
        yield
    finally:
        handle.remove()


def metered(method: Method) -> Method:
    """The method with a meter as its last term; one that trains nothing has no step to measure."""
    if method.freezes:
        return method
    return replace(method, anchors=[*method.anchors, Meter()])


class Watched:
    """A run to its end.

    Args:
        method: of which a copy runs.
        stream: its data; by default `small_stream`.
        setup: how it goes.
    """

    def __init__(self, method: Method, stream: Stream | None = None, setup: Setup = QUICK):
        self.method, self.setup = metered(method), setup
        self.stream = small_stream() if stream is None else stream
        self.events: list[str] = []
        self.states: list[Any] = []  # the state after each event, as it comes from the disk
        self.passes: list[int] = []  # of a learner with weights to train, before each event
        with counting():
            self.run = self.fresh()
            PASSES.clear()
            for event in self.run.events():
                self.events.append(place_of(event))
                self.passes.append(PASSES.count(False))
                if self.method.freezes:  # otherwise the meter counts from step to step
                    PASSES.clear()
                self.states.append(through_disk(self.run.state(), method.name))

    def fresh(self, **changes: Any) -> Run:
        """The same run, not begun; with some settings of the setup changed."""
        return Run(self.method, self.stream, replace(self.setup, **changes))

    @cached_property
    def costs(self) -> list[Cost]:
        """What every step cost."""
        meter = self.run.continual.method.anchors[-1]
        assert isinstance(meter, Meter)
        return meter.costs

    @property
    def result(self) -> Result:
        """The figures."""
        return self.run.result


def finished(run: Run) -> Run:
    """The run, to its end."""
    for _ in run.events():
        pass
    return run


def learned(method: Method, stream: Stream, setup: Setup = QUICK) -> Run:
    """A run to its end, unwatched."""
    return finished(Run(method, stream, setup))


def place_of(event: Event) -> str:
    """An event in words."""
    if isinstance(event, TaskDone):
        return f"the end of task {event.task + 1}"
    return f"epoch {event.epoch + 1} of task {event.task + 1}"


def readings_finite(run: Run) -> bool:
    """Whether every figure so far and every weight is a finite number."""
    readings = run.result.readings.values()
    matrices = [m for reading in readings for m in (reading.class_il, reading.task_il)]
    rows = [m.matrix[i, : i + 1] for m in matrices for i in range(len(m.sizes))]
    values = [*rows, *run.learner.state_dict().values()]
    return all(bool(torch.as_tensor(value).isfinite().all()) for value in values)
