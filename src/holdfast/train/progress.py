"""Progress: how far learning has come, all that it resumes from beside weights and parts."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from holdfast.core.errors import ConfigError
from holdfast.memory.meter import Holdings
from holdfast.recipes.former import EDITION
from holdfast.stream.labels import Label
from holdfast.stream.task import Task
from holdfast.train.result import TaskNote


@dataclass(frozen=True)
class Progress:
    """How far learning has come.

    A task counts once it is learned to its end: until then its classes are in none of these.

    Attributes:
        task: tasks learned; the index of the one that comes next, or is being learned.
        epochs: of the task that is being learned, how many are done.
        seen: classes of the tasks learned, by number, ascending.
        labels: the name of each class, in the order of arrival.
        arrived: rows of the tasks learned that came by `Continual.arrive`.
        notes: one a task learned.
        seconds: spent on the task that is being learned.
        begun: what the task that is being learned is recognised by; empty for none.
        taken: tasks at the start that another network learned, whose stream this one took over
            (`holdfast.train.succession`).
        edition: of the recipes' defaults that learning began with (`holdfast.recipes.former`); states
            of the editions 1 and 2 do not name it.
    """

    task: int = 0
    epochs: int = 0
    seen: tuple[int, ...] = ()
    labels: tuple[Label, ...] = ()
    arrived: int = 0
    notes: tuple[TaskNote, ...] = ()
    seconds: float = 0.0
    begun: str = ""
    taken: int = 0
    edition: int = EDITION

    @property
    def untaught(self) -> bool:
        """Whether the network has learned no task itself."""
        return self.task == self.taken

    def begin(self, task: Task) -> Progress:
        """With a task begun, or taken up where it stopped.

        Raises:
            ConfigError: for a task of another place, or another one than was begun.
        """
        if task.index != self.task:
            raise ConfigError(
                f"this is task {task.index + 1}, but {self.task} were learned: the next one must be "
                f"task {self.task + 1}. A task made by arrive is learned before the next one is made."
            )
        mark = fingerprint(task)
        if self.epochs and self.begun not in ("", mark):
            raise ConfigError(
                f"task {self.task + 1} was begun with other data: learn those to the end first."
            )
        return replace(self, begun=mark)

    def after_epoch(self, epoch: int, seconds: float) -> Progress:
        """With an epoch of the task done."""
        return replace(self, epochs=epoch + 1, seconds=seconds)

    def after(self, task: Task, note: TaskNote, rows: int) -> Progress:
        """With a task of so many rows learned to its end."""
        return Progress(
            task=self.task + 1,
            seen=classes_with(self.seen, task),
            labels=task.labels or self.labels,
            arrived=self.arrived + (rows if task.labels else 0),
            notes=(*self.notes, note),
            taken=self.taken,
            edition=self.edition,
        )

    def to_dict(self) -> dict[str, Any]:
        """As plain data, in the layout that states have had since the first format."""
        return {
            "place": {"task": self.task, "epochs": self.epochs}
            | ({"taken": self.taken} if self.taken else {}),
            "classes": {
                "labels": list(self.labels),
                "arrived": self.arrived,
                "seen": self.seen,
            },
            "seconds": self.seconds,
            "begun": self.begun,
            "edition": self.edition,
            "notes": [asdict(note) for note in self.notes],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Progress:
        """From `to_dict`, or from the state that it is a part of."""
        place, classes = data["place"], data["classes"]
        notes = [note | {"holdings": Holdings(**note["holdings"])} for note in data["notes"]]
        return cls(
            task=place["task"],
            epochs=place["epochs"],
            seen=tuple(classes["seen"]),
            labels=tuple(classes["labels"]),
            arrived=classes["arrived"],
            notes=tuple(TaskNote(**note) for note in notes),
            seconds=data["seconds"],
            begun=data.get("begun", ""),
            taken=place.get("taken", 0),
            edition=data.get("edition") or data["identity"].get("format", 1),
        )


def classes_with(seen: tuple[int, ...], task: Task) -> tuple[int, ...]:
    """All classes once a task has begun, ascending."""
    return tuple(sorted({*seen, *task.classes}))


def fingerprint(task: Task) -> str:
    """SHA-256 over a task's place, classes and the labels of its rows."""
    about = (task.index, task.classes, task.labels, tuple(task.train.x.shape))
    total = hashlib.sha256(repr(about).encode())
    total.update(task.train.y.cpu().numpy().tobytes())
    return total.hexdigest()
