"""Task and Stream: what arrives, and in which order."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor

from holdfast.stream.rows import Rows


@dataclass(frozen=True)
class Task:
    """One arrival of data: its classes (numbered in order of arrival) and its train and test rows."""

    index: int
    classes: tuple[int, ...]
    train: Rows
    test: Rows


@dataclass(frozen=True)
class Stream:
    """A sequence of tasks over one kind of input.

    Attributes:
        name: where the data came from.
        tasks: the tasks in order of arrival.
        names: the name of every class, in order of arrival (``names[y]`` names label ``y``).
        scenario: ``class``, ``domain`` or ``instance`` incremental.
        order: for class y, its number in the source's own numbering.
    """

    name: str
    tasks: tuple[Task, ...]
    names: tuple[str, ...]
    order: tuple[int, ...]
    scenario: str = "class"

    def __len__(self) -> int:
        return len(self.tasks)

    def __iter__(self) -> Iterator[Task]:
        return iter(self.tasks)

    def __getitem__(self, index: int) -> Task:
        return self.tasks[index]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one input, (C, H, W) for images and (D,) for feature vectors."""
        return tuple(self.tasks[0].train.x.shape[1:])

    def seen(self, task: int) -> tuple[int, ...]:
        """Classes of tasks 0..task, in order of arrival."""
        return tuple(sorted({c for t in self.tasks[: task + 1] for c in t.classes}))

    def fingerprint(self) -> str:
        """SHA-256 over every task's pixels, labels and order: equal streams, equal strings."""
        return _digest([column for t in self for r in (t.train, t.test) for column in (r.x, r.y)])


def _digest(tensors: Sequence[Tensor]) -> str:
    total = hashlib.sha256()
    for tensor in tensors:
        total.update(f"{tuple(tensor.shape)}{tensor.dtype}".encode())
        total.update(tensor.contiguous().cpu().numpy().tobytes())
    return total.hexdigest()
