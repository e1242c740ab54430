"""Task and Stream: what arrives, and in which order; and a task made of what arrives now."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence, Sized
from dataclasses import dataclass

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from holdfast.core.errors import ConfigError, DataError
from holdfast.core.filed import pieces
from holdfast.core.rows import Rows
from holdfast.stream.arrays import inputs
from holdfast.stream.labels import Label, label_list


@dataclass(frozen=True)
class Task:
    """One arrival of data.

    Attributes:
        index: its place among the tasks.
        classes: its classes, numbered in order of arrival.
        train: rows to learn from.
        test: rows to measure on; none where the task came by itself.
        labels: the names of all classes once it is learned, class k's at place k; empty where the
            stream names them.
        few: its distinct inputs where they are too few to train on; 0 where they suffice.
    """

    index: int
    classes: tuple[int, ...]
    train: Rows
    test: Rows
    labels: tuple[str | int, ...] = ()
    few: int = 0


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


def make_task(
    x: ArrayLike | Tensor,
    labels: Sequence[Label] | ArrayLike | Tensor,
    known: Sequence[Label] = (),
    index: int = 0,
    key: int = 0,
) -> tuple[Task, list[Label]]:
    """A task without test rows, and the labels known with it, in the order of their arrival.

    Args:
        x: (N, C, H, W) uint8 pixels or (N, D) features, as an array or a tensor; see `inputs`.
        labels: one an input, as a list, an array or a tensor; those not known yet are new classes,
            in sorted order.
        known: labels of the classes so far; class k is ``known[k]``.
        index: of the task.
        key: of its first row; no row before it may have one as large.

    Raises:
        ConfigError: for no input, or another number of labels than of inputs.
        DataError: for an input or a label that cannot be used.

    >>> task, known = make_task(torch.rand(3, 2), ["owl", "cat", "owl"], ["dog", "owl"])
    >>> task.train.y.tolist(), task.classes, known
    ([1, 2, 1], (1, 2), ['dog', 'owl', 'cat'])
    """
    columns = label_list(labels)
    count = len(x) if isinstance(x, Sized) else 0
    if not count or count != len(columns):
        raise ConfigError(
            f"a task is at least one input with a label each, not {count} with {len(columns)} labels."
        )
    fresh = sorted(set(columns) - set(known), key=lambda label: (isinstance(label, str), label))
    all_labels = [*known, *fresh]
    place = {label: k for k, label in enumerate(all_labels)}
    y = torch.tensor([place[label] for label in columns])
    rows = Rows(_at_rest(x), y, torch.full_like(y, index), torch.arange(key, key + len(y)))
    task = Task(index, tuple(y.unique().tolist()), rows, rows[slice(0, 0)], tuple(all_labels))
    return task, all_labels


def _at_rest(x: ArrayLike | Tensor) -> Tensor:
    """Inputs as they rest; a tensor that is in that form already is not copied."""
    kinds = (
        (torch.uint8, torch.float32)
        if getattr(x, "ndim", 0) == 4
        else (torch.float32, torch.float64)
    )
    if not isinstance(x, Tensor) or x.ndim not in (2, 4) or x.dtype not in kinds:
        return torch.from_numpy(inputs(x, "x"))
    if x.is_floating_point() and not bool(x.isfinite().all()):
        raise DataError("the inputs hold a NaN or infinite value: all must be finite.")
    return x


def _digest(tensors: Sequence[Tensor]) -> str:
    total = hashlib.sha256()
    for tensor in tensors:
        add_content(total, tensor)
    return total.hexdigest()


def add_content(total: hashlib._Hash, tensor: Tensor) -> None:
    """Shape, type and numbers of a tensor into a hash, some rows at a time and without a copy."""
    total.update(f"{tuple(tensor.shape)}{tensor.dtype}".encode())
    for piece in pieces(tensor):
        total.update(piece.contiguous().cpu().numpy().data)
