"""Watched rows: held-out rows of every task, fixed by key, kept by the run and never by its method."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from holdfast.core.errors import ConfigError
from holdfast.core.rng import derive_seed
from holdfast.core.rows import Rows, cat
from holdfast.stream.task import Stream

USUAL, MOST, LEAST = 100, 2000, 10  # rows a class, in all, and a class where there are many classes


@dataclass(frozen=True)
class Watched:
    """The rows that a diagnosis looks at, of all tasks of a stream, those to come too.

    Attributes:
        rows: in the order of tasks and classes.
        per_class: how many a task and class at most.
        source: in words, where they are from.
        fold: (n,) 0 or 1: a probe learns on one and is read on the other.
    """

    rows: Rows
    per_class: int
    source: str
    fold: Int[Tensor, " n"]

    def __len__(self) -> int:
        return len(self.rows)

    def seen(self, task: int) -> Bool[Tensor, " n"]:
        """Rows of a task and those before it."""
        return self.rows.task <= task


def watch(stream: Stream, seed: int = 0, per_class: int = 0) -> Watched:
    """Choose rows of each task's test set by a hash of seed and key: the same for every method.

    Args:
        stream: the tasks.
        seed: of the choice.
        per_class: rows of each class of each task; 0 takes 100, fewer where that would be over 2000
            in all, but 10 at least.

    Raises:
        ConfigError: if fewer than two rows a class are asked for, or a stream has no test rows.
    """
    groups = [(task, c) for task in stream for c in task.classes]
    per_class = per_class or max(LEAST, min(USUAL, MOST // max(len(groups), 1)))
    if per_class < 2:
        raise ConfigError(f"a diagnosis takes at least 2 watched rows a class, not {per_class}.")
    chosen, folds = [], []
    for task, c in groups:
        rows = task.test[task.test.y == c]
        order = sorted(range(len(rows)), key=lambda i: derive_seed(seed, int(rows.key[i])))
        chosen.append(rows[torch.tensor(order[:per_class], dtype=torch.long)])
        folds.append(torch.arange(len(chosen[-1])) % 2)
    if not any(len(rows) for rows in chosen):
        raise ConfigError("the stream has no test rows, and a diagnosis watches held-out rows.")
    source = "test rows, chosen by a hash of seed and key; diagnosis, never a score of the method"
    return Watched(cat(chosen), per_class, source, torch.cat(folds))


def some_of(rows: Rows, seed: int, most: int) -> Rows:
    """At most so many rows of a table, chosen by a hash of seed and key.

    Args:
        rows: a table.
        seed: of the choice.
        most: how many.
    """
    if len(rows) <= most:
        return rows
    keys = rows.key.tolist()
    order = sorted(range(len(rows)), key=lambda i: derive_seed(seed, keys[i]))
    return rows[torch.tensor(sorted(order[:most]), device=rows.y.device)]
