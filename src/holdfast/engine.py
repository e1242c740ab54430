"""A run over a whole stream: `Continual` learns, and after each task every test set is measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace

import torch
from torch import Tensor

from holdfast.continual import Continual
from holdfast.events import Event, TaskDone
from holdfast.learner.learner import Learner
from holdfast.memory.protocol import Protocol
from holdfast.method import Method
from holdfast.metrics import accuracies, expected_calibration_error
from holdfast.readout.readout import Readout
from holdfast.result import Result
from holdfast.resume import Place, State, refuse_other, result_state, take_result
from holdfast.settings import Machine, Model, Training
from holdfast.stream.augment import Augment
from holdfast.stream.task import Stream, Task


def run(
    method: Method,
    stream: Stream,
    training: Training = Training(),
    *,
    protocol: Protocol | None = None,
    readout: str | Readout = "auto",
    also: Sequence[str] = (),
    model: Model = Model(),
    machine: Machine = Machine(),
    augment: Augment | None = None,
    seed: int = 0,
    config: Mapping[str, object] | None = None,
    watch: Callable[[Event], None] = lambda event: None,
) -> Result:
    """Learn a stream with a method and say what was kept.

    Args:
        method: what to do; a copy is used, so it can be run again.
        stream: the tasks.
        training: epochs, batch size and optimiser settings.
        protocol: what may be stored; None takes the method's own.
        readout: by name, or one of your own, of which a copy is used.
        also: further readouts to read the same network with, by name.
        model: the network.
        machine: device and precision.
        augment: the random views; None chooses by the inputs' shape and the method's views.
        seed: of weights, batches and views; same seed, same machine: same bits.
        config: more to note in the result.
        watch: called with every `Epoch` and `TaskDone`.

    Raises:
        ConfigError: for parts that do not fit together.
        ProtocolError: when a part keeps images that the protocol does not allow.
        DivergedError: when a loss term stops being finite; what earlier events showed stays valid.
    """
    work = Work(method, stream, training, protocol, readout, also, model, machine, augment, seed)
    work.result.config = work.settings | dict(config or {})
    for event in work.learn():
        watch(event)
    return work.result


class Work:
    """One run in progress: `learn` yields its events. The arguments are those of `run`."""

    def __init__(
        self,
        method: Method,
        stream: Stream,
        training: Training = Training(),
        protocol: Protocol | None = None,
        readout: str | Readout = "auto",
        also: Sequence[str] = (),
        model: Model = Model(),
        machine: Machine = Machine(),
        augment: Augment | None = None,
        seed: int = 0,
    ):
        classes = max(stream.seen(len(stream) - 1)) + 1
        self.stream, self.training = stream, training
        self.continual = Continual(
            method, stream.shape, training, protocol, readout, also, model, machine, augment,
            seed, classes,
        )  # fmt: skip
        self.continual.labels = list(stream.names)
        self.method, self.learner = self.continual.method, self.continual.learner
        self.memory, self.readouts = self.continual.memory, self.continual.readouts
        self.protocol, self.fabric = self.continual.protocol, self.continual.fabric
        protocols = {
            n: self.protocol if r.uses_images else self.protocol.unread
            for n, r in self.readouts.items()
        }
        reported = self.continual.readout
        self.result = Result.blank(method.name, str(self.protocol), reported, protocols, stream)
        self.settings = {
            "method_protocol": str(self.protocol),
            "training": asdict(training),
            "model": asdict(model),
            "machine": asdict(machine),
            "augment": asdict(self.continual.augment),
            "seed": seed,
        }
        if self.learner.backbone.sha256:
            self.settings["backbone_sha256"] = self.learner.backbone.sha256
        self.data = {"data": dict(self.result.data)}  # which the state of this run belongs to

    @property
    def place(self) -> Place:
        """How far the run has come."""
        return self.continual.place

    def state(self) -> State:
        """All that this run is made of, as plain data; to be asked between two events."""
        return self.continual.state() | self.data | {"result": result_state(self.result)}

    def restore(self, state: State) -> None:
        """Go on where a state was taken, bit for bit; for a run made from the same arguments.

        Raises:
            ConfigError: for the state of another run, naming what differs.
        """
        refuse_other(self.data, {"data": state["data"]})
        self.continual.restore(state)
        take_result(self.result, state["result"])
        self.result.tasks = list(self.continual.notes)

    @property
    def past(self) -> Learner | None:
        """The past network as the terms see it; None in the first task."""
        return self.continual.past

    def learn(self) -> Iterator[Event]:
        """Learn task after task, from where the run stands, and measure after each."""
        for task in self.stream.tasks[self.continual.done :]:
            for epoch in self.continual.learn(task):
                yield replace(epoch, tasks=len(self.stream))
            self._evaluate(task)
            self.result.tasks.append(self.continual.notes[-1])
            if task.index == len(self.stream) - 1:
                self.result.status = "complete"
            yield TaskDone(task.index, self.learner, self.result)

    def _evaluate(self, task: Task) -> None:
        """Fill row i of every accuracy matrix; each test set is passed through the network once."""
        said: dict[str, list[Tensor]] = {name: [] for name in self.readouts}
        for j, other in enumerate(self.stream.tasks[: task.index + 1]):
            out, y = self.continual.out(other.test.x), other.test.y.to(self.fabric.device)
            for name, readout in self.readouts.items():
                scores = readout.scores(out)
                pair = accuracies(scores, y, other.classes)
                reading = self.result.readings[name]
                reading.class_il.matrix[task.index, j], reading.task_il.matrix[task.index, j] = pair
                said[name].append(readout.calibrated(scores))
        y = torch.cat([other.test.y for other in self.stream.tasks[: task.index + 1]])
        for name, readout in self.readouts.items():
            reading, p = self.result.readings[name], torch.cat(said[name])
            reading.drift_residuals = list(readout.residuals)
            reading.calibration_error = expected_calibration_error(p, y.to(p.device))
