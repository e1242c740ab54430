"""What a run tells while it goes on."""

from __future__ import annotations

from dataclasses import dataclass

from holdfast.learner.learner import Learner
from holdfast.result import Result


@dataclass(frozen=True)
class Epoch:
    """One pass over a task: what the log keeps.

    Attributes:
        task: index of the task, of ``tasks`` in all.
        epoch: index of the epoch, of ``epochs`` in the task.
        records: mean of each loss part, of the focal weight and of alpha, by name.
        lr: learning rate of the last step.
        rate: images per second, each counted once however many views it had.
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
