"""A run over a whole stream: `Continual` learns, and after each task every test set is measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any

from holdfast.core.ranks import current
from holdfast.core.settings import Training
from holdfast.learner.learner import Learner
from holdfast.metrics import accuracies, right_task
from holdfast.recipes.method import Method
from holdfast.stream.task import Stream, Task
from holdfast.train.alone import refuse_alone
from holdfast.train.consolidation import holdings_of
from holdfast.train.continual import Continual
from holdfast.train.devices import on_devices
from holdfast.train.events import STOP, Event, TaskDone, ignore
from holdfast.train.identity import refuse_other
from holdfast.train.meeting import ranked
from holdfast.train.progress import Progress
from holdfast.train.result import Result
from holdfast.train.seen import Seen, later_rows
from holdfast.train.setup import Setup, as_setup
from holdfast.train.state import State, result_state, take_result


def run(
    method: Method,
    stream: Stream,
    setup: Setup | Training = Setup(),
    *,
    config: Mapping[str, object] | None = None,
    watch: Callable[[Event], object] = ignore,
) -> Result:
    """Learn a stream with a method and say what was kept.

    Args:
        method: what to do; a copy is used, so it can be run again.
        stream: the tasks.
        setup: how it goes; a `Training` alone stands for a setup with it.
        config: more to note in the result.
        watch: called with every `Epoch` and `TaskDone`; if it returns `holdfast.STOP`, the run ends
            there and the result says so.

    With ``Machine(devices=N)`` it is carried out by N processes, which this function starts (a script
    needs ``if __name__ == "__main__":`` around its calls), or which torchrun has started.

    Raises:
        ConfigError: for parts that do not fit together.
        DeviceError: if one of several processes ends before the run does.
        ProtocolError: when a part keeps images that the protocol does not allow.
        DivergedError: when a loss term stops being finite; what earlier events showed stays valid.
    """
    setup = as_setup(setup)
    machine = setup.machine
    with ranked(machine):  # by a launcher, or alone
        if machine.devices > 1 and current() is None:
            parts = (method, stream, setup, dict(config or {}))
            return on_devices(machine, _run_rank, *parts, heard=watch)
        return _run(Run(method, stream, setup), dict(config or {}), watch)


def _run(work: Run, config: dict[str, object], watch: Callable[[Event], object]) -> Result:
    """A run with its watcher; of several processes, that of the first is heard."""
    work.result.config = work.config | config
    ranks = current()
    for event in work.events():
        stop = watch(event) is STOP if ranks is None or ranks.rank == 0 else False
        if stop if ranks is None else ranks.from_first(stop):
            if work.result.status != "complete":
                work.result.status = "stopped: by its watcher"
            break
    return work.result


def _run_rank(say: Callable[[Event], object], *parts: Any) -> Result:
    """The run on one of several processes that this one has started."""
    *made_of, config = parts
    return _run(Run(*made_of), config, say)


class Run:
    """One run in progress: `events` learns and yields. The arguments are those of `run`.

    Attributes:
        continual: what learns.
        result: the figures so far.
        config: every setting, for the result.
    """

    def __init__(self, method: Method, stream: Stream, setup: Setup | Training = Setup()):
        classes = max(stream.seen(len(stream) - 1)) + 1
        setup = as_setup(setup)
        self.stream = stream
        self.continual = core = Continual(method, stream.shape, setup, classes)
        core.progress = Progress(labels=tuple(stream.names))
        for task in stream:
            refuse_alone(core, task)
        protocols = {
            name: core.protocol if readout.uses_images else core.protocol.unread
            for name, readout in core.readouts.items()
        }
        name = core.method.name
        self.result = Result.blank(name, str(core.protocol), core.readout, protocols, stream)
        self.config: dict[str, Any] = {
            "setup": setup.to_dict() | {"protocol": str(core.protocol)},
            "method": core.identity["method"],
        }
        if core.learner.backbone.sha256:
            self.config["backbone_sha256"] = core.learner.backbone.sha256
        known = {name: value for name, value in self.result.data.items() if name != "content"}
        self.data = {"data": known}  # which the state of this run belongs to

    @property
    def learner(self) -> Learner:
        """The network."""
        return self.continual.learner

    @property
    def progress(self) -> Progress:
        """How far the run has come."""
        return self.continual.progress

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
        self.result.tasks = list(self.progress.notes)

    def events(self) -> Iterator[Event]:
        """Learn task after task, from where the run stands, and measure after each."""
        for task in self.stream.tasks[self.progress.task :]:
            for epoch in self.continual.epochs(task):
                yield replace(epoch, tasks=len(self.stream))
            self._evaluate(task)
            self.result.tasks = list(self.progress.notes)
            if task.index == len(self.stream) - 1:
                self.result.status = "complete"
            yield TaskDone(task.index, self.learner, self.result)

    def _evaluate(self, task: Task) -> None:
        """Fill row i of every accuracy matrix; each test set is passed through the network once."""
        core, tests = self.continual, self.stream.tasks[: task.index + 1]
        views = {name: Seen(readout) for name, readout in core.readouts.items()}
        for j, other in enumerate(tests):
            out, y = core.out(other.test.x), other.test.y.to(core.fabric.device)
            for name, view in views.items():
                scores, reading = view.take(out, y), self.result.readings[name]
                class_il, task_il = accuracies(scores, y, other.classes)
                reading.class_il.matrix[task.index, j] = class_il
                reading.task_il.matrix[task.index, j] = task_il
                if reading.right_task is not None:
                    reading.right_task.matrix[task.index, j] = right_task(scores, other.classes)
        later = later_rows(self.stream, task.index)
        out = core.out(later) if len(later) else None
        for name, view in views.items():
            reading = self.result.readings[name]
            figures = view.figures(task.classes, out)
            reading.drift_residuals = list(view.readout.residuals)
            reading.drift_forecasts = list(view.readout.forecasts)
            reading.calibration_error = figures["calibration_error"]
            reading.by_task = [*reading.by_task[: task.index], figures]
            reading.stored = asdict(holdings_of(core, name, reading.protocol == "strict"))
