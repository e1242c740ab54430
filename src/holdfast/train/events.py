"""What a run tells while it goes on, and how a watcher stops it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from holdfast.learner.learner import Learner
from holdfast.train.result import Result


class Stop(Enum):
    """What a watcher returns to stop a run."""

    STOP = "stop"


STOP: Final = Stop.STOP


@dataclass(frozen=True)
class Epoch:
    """One pass over a task: what the log keeps.

    Attributes:
        task: index of the task, of ``tasks`` in all.
        epoch: index of the epoch, of ``epochs`` in the task.
        records: mean of each loss part, of the focal weight and of alpha, by name.
        lr: learning rate of the last step.
        rate: images per second, each counted once however many views it had.
        seconds: it took.
    """

    task: int
    tasks: int
    epoch: int
    epochs: int
    records: dict[str, float]
    lr: float
    rate: float
    seconds: float


@dataclass(frozen=True)
class TaskDone:
    """A task has ended: the learner as it is now, and the result so far."""

    task: int
    learner: Learner
    result: Result


Event = Epoch | TaskDone


def ignore(event: Event) -> None:
    """A watcher that does nothing."""
