"""Memories: which samples are kept, and how they come back into training."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, get_args

import torch
from jaxtyping import Int
from torch import Tensor, nn

from holdfast.core.errors import ConfigError
from holdfast.core.output import Output, outputs
from holdfast.core.registry import Registry
from holdfast.core.rows import Rows, cat
from holdfast.loss.checks import require_option
from holdfast.memory.leverage import by_leverage
from holdfast.memory.select import at_random, herding

if TYPE_CHECKING:
    from holdfast.learner.learner import Learner
    from holdfast.stream.task import Task

Use = Literal["pool", "mix", "draw", "readout"]
Select = Literal["random", "herding", "leverage", "root_leverage"]


class Memory(nn.Module):
    """Stored samples; this base class stores none.

    Args:
        capacity: how many images at most; None is no limit.
        use: ``pool``: they join the task's own rows, and an epoch runs over both; ``mix``: each
            batch is given as many stored rows again, in one forward pass (one batch-norm sees
            both); ``draw``: the same number of rows as a part of its own, ``memory``, with a
            forward pass of its own; ``readout``: training never sees them.
    """

    columns: tuple[str, ...] = ()  # of an Output, noted beside a row when it is stored

    def __init__(self, capacity: int | None = 0, use: Use = "pool"):
        super().__init__()
        if capacity is not None and capacity < 0:
            raise ConfigError(f"a memory holds at least 0 images, not {capacity}.")
        self.capacity = capacity
        self.use: Use = use
        self.rows: Rows | None = None

    def __len__(self) -> int:
        return 0 if self.rows is None else len(self.rows)

    @property
    def keeps(self) -> bool:
        """Whether it may ever hold an image."""
        return self.capacity != 0

    def pooled(self, rows: Rows) -> Rows:
        """What an epoch of a task with these rows runs over."""
        return cat([rows, self.rows]) if self.use == "pool" and self.rows is not None else rows

    def mixed(self, rows: Rows, generator: torch.Generator) -> Rows:
        """A batch, with as many stored rows again where the memory mixes."""
        return cat([rows, self._draw(len(rows), generator)]) if self._serves("mix") else rows

    def drawn(self, size: int, generator: torch.Generator) -> dict[str, Rows]:
        """Parts of its own for a step whose batch has ``size`` rows."""
        return {"memory": self._draw(size, generator)} if self._serves("draw") else {}

    def observe(
        self, rows: Rows, epoch: int, generator: torch.Generator, out: Output | None = None
    ) -> None:
        """See the rows of a step, as they rest, after the update.

        Args:
            rows: of the task, as they rest.
            epoch: of the task.
            generator: all of chance.
            out: the learner's output for a view of each in this step; given to a memory that has
                ``columns`` to note.
        """

    def consolidate(self, learner: Learner, task: Task, generator: torch.Generator) -> None:
        """Choose what to keep when a task ends."""

    def drop(self, keys: Int[Tensor, " n"]) -> int:
        """Forget samples; how many of them were stored.

        Args:
            keys: of all samples that are to be as if never met, stored or not, each told once.
        """
        if self.rows is None:
            return 0
        stays = ~torch.isin(self.rows.key, keys.to(self.rows.key.device))
        count = len(self.rows) - int(stays.sum())
        self.rows = self.rows[stays] if bool(stays.any()) else None
        return count

    def get_extra_state(self) -> dict[str, object]:
        """The stored rows, so that a fresh memory can be given the same content."""
        if self.rows is None:
            return {}
        columns = {name: getattr(self.rows, name) for name in ("x", "y", "task", "key")}
        return {"columns": columns, "extra": dict(self.rows.extra)}

    def set_extra_state(self, state: dict[str, dict[str, Tensor]]) -> None:
        """Take over stored rows."""
        self.rows = Rows(**state["columns"], extra=state["extra"]) if state else None

    def _serves(self, use: Use) -> bool:
        return self.use == use and len(self) > 0

    def _draw(self, size: int, generator: torch.Generator) -> Rows:
        assert self.rows is not None
        return pick(self.rows, size, generator)


def pick(rows: Rows, size: int, generator: torch.Generator) -> Rows:
    """``size`` rows at random, with replacement, on the generator's device."""
    index = torch.randint(len(rows), (size,), generator=generator, device=generator.device)
    return rows[index.to(rows.y.device)].to(generator.device)


MEMORIES: Registry[Callable[..., Memory]] = Registry(
    "memory", module="holdfast.memory", plural="memories"
)


class NoMemory(Memory):
    """Nothing is stored."""

    def __init__(self):
        super().__init__(capacity=0)


class Everything(Memory):
    """All rows of all tasks: the bound ``joint``, not a continual method."""

    def __init__(self):
        super().__init__(capacity=None, use="pool")

    def consolidate(self, learner: Learner, task: Task, generator: torch.Generator) -> None:
        """Keep the whole task."""
        self.rows = task.train if self.rows is None else cat([self.rows, task.train])


class ClassBalanced(Memory):
    """capacity // (classes seen) images a class, the remainder going to the first classes.

    Args:
        capacity: images in all.
        use: how they come back into training.
        select: by the features at the time the class was learned: ``herding``; ``leverage`` or
            ``root_leverage``, drawn without replacement by how much the Gram matrix of the class would
            miss a row (`leverage_shares`); or ``random``, which asks for none.

    Raises:
        ConfigError: for another selection.
    """

    def __init__(
        self,
        capacity: int = 200,
        use: Use = "pool",
        select: Select = "random",
    ):
        super().__init__(capacity, use)
        require_option("selection", select, get_args(Select))
        self.select: Select = select

    def consolidate(self, learner: Learner, task: Task, generator: torch.Generator) -> None:
        """Shrink the old classes' shares (best first, so a prefix stays) and take in the new."""
        table = task.train if self.rows is None else cat([self.rows, task.train])
        known = sorted(set(table.y.tolist()))
        share, extra = divmod(self.capacity or 0, len(known))
        tables = []
        for place, c in enumerate(known):
            quota = share + (place < extra)
            old = ((table.y == c) & (table.task < task.index)).nonzero()[:, 0]
            new = ((table.y == c) & (table.task == task.index)).nonzero()[:, 0]
            old = old[_in_turn(table.task[old])]
            room = quota
            if len(old) and len(new):  # the class came again: every arrival has an even share
                arrivals = len(table.task[old].unique()) + 1
                room = max(quota - len(new), quota - quota // arrivals)
            stays = self._shrunk(table[old], room)
            taken = self._taken(learner, table[new], max(quota - len(stays), 0), generator)
            tables.append(cat([stays, taken]))
        self.rows = cat(tables)

    def _shrunk(self, rows: Rows, keep: int) -> Rows:
        """The best of a class that was stored."""
        return rows[slice(0, keep)]

    def _taken(self, learner: Learner, rows: Rows, keep: int, generator: torch.Generator) -> Rows:
        """The best of a class's new rows."""
        return rows[self._choose(learner, rows, keep, generator)]

    def _choose(
        self, learner: Learner, rows: Rows, keep: int, generator: torch.Generator
    ) -> Tensor:
        if self.select == "random" or not keep or not len(rows):
            return at_random(len(rows), keep, generator)
        features = torch.nn.functional.normalize(outputs(learner, rows).features, dim=1)
        if self.select == "herding":
            return herding(features, keep)
        return by_leverage(features, keep, generator, root=self.select == "root_leverage")


def _in_turn(task: Tensor) -> Tensor:
    """An order that takes a row of each task in turn, so that a prefix is fair to all of them."""
    rank = (task[:, None] == task).tril(-1).sum(1)
    return rank.argsort(stable=True)


MEMORIES.add("none", NoMemory)
MEMORIES.add("everything", Everything)
MEMORIES.add("balanced", ClassBalanced)
