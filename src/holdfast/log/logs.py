"""Several sinks as one watcher of a run: events become figures, and a sink that fails is left out."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from holdfast.core.errors import ConfigError
from holdfast.core.grammar import listed
from holdfast.log.sink import LOGS, About, Sink, ready
from holdfast.train.events import Epoch, Event
from holdfast.train.result import Result


class Logs:
    """Gives the events of a run to sinks.

        >>> from holdfast.log import Logs
        >>> logs = Logs("tensorboard", "runs/mine", "mine")  # doctest: +SKIP
        >>> result = run(method, stream, watch=logs)  # doctest: +SKIP

    Args:
        text: names with commas between, perhaps with settings: tensorboard,mlflow:experiment=mine.
        folder: of the run.
        name: of the run.
        config: its settings, nested.
        tell: what is called with a sentence where a sink fails; by default it is a warning.

    Raises:
        ConfigError: for an unknown name or setting, or a package that is not installed.
    """

    def __init__(
        self,
        text: str,
        folder: str | Path,
        name: str,
        config: Mapping[str, Any] | None = None,
        tell: Callable[[str], object] = warnings.warn,
    ):
        ready(text)
        self.tell = tell
        about = About(name, Path(folder), flat(config or {}))
        self.sinks: dict[str, Sink] = {}
        self.step = 0
        for one in listed(text):
            try:
                self.sinks[one] = LOGS.build(one, about=about)
            except ConfigError:
                raise
            except Exception as error:  # as where a server does not answer
                self._tell(one, error)

    def begin(self, epochs: Sequence[int], task: int, done: int) -> None:
        """Say where a run that is resumed stands.

        Args:
            epochs: of each task.
            task: index of the one that goes on.
            done: epochs of it that are over.
        """
        self.step = sum(epochs[:task]) + done

    def __call__(self, event: Event) -> None:
        """Give an event to every sink."""
        if isinstance(event, Epoch):
            self.step += 1
            self._every(lambda sink: sink.scalars(self.step, of_epoch(event)))
            return
        self._every(lambda sink: sink.scalars(self.step, of_task(event.result, event.task)))
        if event.result.status == "complete":
            self.finish("complete")

    def finish(self, status: str) -> None:
        """End every sink; further calls do nothing."""
        self._every(lambda sink: sink.finish(status))
        self.sinks.clear()

    def _every(self, do: Callable[[Sink], None]) -> None:
        for name, sink in list(self.sinks.items()):
            try:
                do(sink)
            except Exception as error:  # no log is worth a run
                del self.sinks[name]
                self._tell(name, error)

    def _tell(self, name: str, error: Exception) -> None:
        line = str(error).partition("\n")[0]
        why = f"{type(error).__name__}: {line}"
        self.tell(f"the log {name} failed ({why}) and is left out; the run goes on.")


def of_epoch(event: Epoch) -> dict[str, float]:
    """The figures of an epoch."""
    records = {f"train/{name}": float(value) for name, value in event.records.items()}
    return records | {
        "train/lr": event.lr,
        "train/images_per_second": event.rate,
        "train/task": float(event.task + 1),
    }


def of_task(result: Result, task: int) -> dict[str, float]:
    """The figures after a task: accuracies over what was seen and by task, and what is stored."""
    output: dict[str, float] = {}
    for kind in ("class_il", "task_il"):
        accuracy = getattr(result, kind)
        output[f"{kind}/seen"] = accuracy.after(task)
        for j in range(task + 1):
            output[f"{kind}/task_{j + 1}"] = float(accuracy.matrix[task, j])
    reading = result.readings[result.readout]
    if len(reading.by_task) == task + 1:
        figures = reading.by_task[task].items()
        output |= {f"belief/{name}": value for name, value in figures if value is not None}
    stored = result.tasks[task].holdings
    output |= {"stored/images": float(stored.images), "stored/bytes": float(stored.bytes)}
    return {name: value for name, value in output.items() if math.isfinite(value)}


def flat(data: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Nested settings by their paths.

    >>> flat({"a": {"b": 1, "c": {}}, "d": [2]})
    {'a.b': 1, 'd': '[2]'}
    """
    return dict(_flat(data, before))


def _flat(data: Mapping[str, Any], before: str) -> Iterator[tuple[str, Any]]:
    for name, value in data.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name}.")
        else:
            plain = value is None or isinstance(value, (str, int, float))
            yield f"{before}{name}", value if plain else str(value)
