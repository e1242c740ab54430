"""RowTable: numbers beside each row of a task, by its key, for as long as the task is learned."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from holdfast.core.rows import Rows
from holdfast.loss.term import Term

if TYPE_CHECKING:
    from holdfast.learner.learner import Learner
    from holdfast.stream.task import Task


class RowTable:
    """(M, K) numbers, one row a sample of the task; nan where nothing was written yet.

    Rows of a memory are not in it. Views of one sample share a row, which takes their mean.

    Attributes:
        keys: (M,) of the task's samples, in order; None while no task is learned.
        values: (M, K); None until something is written.
    """

    def __init__(self):
        self.keys: Tensor | None = None
        self.values: Tensor | None = None

    def open(self, rows: Rows) -> None:
        """Begin with the samples of a task, and no numbers."""
        self.keys, self.values = rows.key.unique(), None

    def close(self) -> None:
        """Forget everything."""
        self.keys = self.values = None

    def find(self, key: Int[Tensor, " n"]) -> tuple[Int[Tensor, " n"], Bool[Tensor, " n"]]:
        """Of each key its place, and whether it has one; a place that is none is 0."""
        if self.keys is None or not len(self.keys):
            return torch.zeros_like(key), torch.zeros_like(key, dtype=torch.bool)
        place = torch.searchsorted(self.keys, key).clamp_max(len(self.keys) - 1)
        there = self.keys[place] == key
        return place.masked_fill(~there, 0), there

    def read(self, key: Int[Tensor, " n"], like: Float[Tensor, "n k"]) -> Float[Tensor, "n k"]:
        """What is written beside these keys; nan where nothing of that width is.

        Args:
            key: of each row.
            like: numbers of the width and type that are looked for.
        """
        place, there = self.find(key)
        if self.values is None or self.values.shape[1] != like.shape[1]:
            return torch.full_like(like, torch.nan)
        return self.values[place].to(like).masked_fill(~there[:, None], torch.nan)

    def write(self, key: Int[Tensor, " n"], values: Float[Tensor, "n k"]) -> None:
        """Take the mean of the rows of each key; keys that are not of the task are passed over."""
        if self.keys is None:
            return
        if self.values is None or self.values.shape[1] != values.shape[1]:
            self.values = values.new_full((len(self.keys) + 1, values.shape[1]), torch.nan)
        place, there = self.find(key)
        place = place.masked_fill(~there, len(self.keys))  # a row that nobody reads
        self.values[place] = mean_by_key(values.detach(), key)

    def state(self) -> dict[str, Tensor]:
        """As tensors by name."""
        both = {"keys": self.keys, "values": self.values}
        return {name: value for name, value in both.items() if value is not None}

    def take(self, state: dict[str, Tensor]) -> None:
        """Take over what `state` gave."""
        self.keys, self.values = state.get("keys"), state.get("values")


def mean_by_key(values: Float[Tensor, "n k"], key: Int[Tensor, " n"]) -> Float[Tensor, "n k"]:
    """For each row the mean of all rows of its key.

    >>> mean_by_key(torch.tensor([[1.0], [5.0], [3.0]]), torch.tensor([7, 8, 7])).flatten()
    tensor([2., 5., 2.])
    """
    same = key[:, None] == key
    first = same.byte().argmax(1)
    total = torch.zeros_like(values).index_add(0, first, values)
    return total[first] / same.sum(1, keepdim=True)


class NotingTerm(Term):
    """A term that notes numbers beside each sample of the task that is learned, and forgets them with it.

    Attributes:
        table: the numbers.
    """

    def __init__(self):
        super().__init__()
        self.table = RowTable()

    def begin(self, learner: Learner, task: Task) -> None:
        """Make room for the task's samples."""
        self.table.open(task.train)

    def consolidate(self, learner: Learner, task: Task, past: Learner | None = None) -> None:
        """Forget what was noted."""
        self.table.close()

    def get_extra_state(self) -> dict[str, Tensor]:
        """What was noted of the task's samples."""
        return self.table.state()

    def set_extra_state(self, state: dict[str, Tensor]) -> None:
        """Take over what was noted."""
        self.table.take(state)
