"""Reservoir: a uniform sample of a stream, with the learner's outputs noted beside each row."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from holdfast.core.errors import ConfigError
from holdfast.core.output import Output
from holdfast.core.rows import Rows, cat
from holdfast.memory.memory import MEMORIES, Memory, Use


class Reservoir(Memory):
    """A uniform sample of all images seen so far, each offered once (Vitter, 1985).

    A noted column is the learner's output for a view of the row at one epoch of its task, drawn
    uniformly among those in which the row was met. Classes that the head did not have then are nan.

    What is dropped leaves places that later rows fill by random pairing: with ``stored`` and ``absent``
    rows dropped and not made up for, the next row takes a place with chance stored / (stored +
    absent), so that the sample stays uniform over what is left (Gemulla, Lehner, Haas, 2008; not
    verified against the source).

    Args:
        capacity: images in all.
        use: how they come back into training.
        columns: of an `Output` to note, for example ``("logits",)``.
        draws: independent draws a step; the second is the part ``memory_2``, and so on.

    Raises:
        ConfigError: for a column that no output has, or fewer than one draw.
    """

    def __init__(
        self,
        capacity: int = 200,
        use: Use = "draw",
        columns: tuple[str, ...] = (),
        draws: int = 1,
    ):
        super().__init__(capacity, use)
        strange = [name for name in columns if name not in Output._fields]
        if strange or draws < 1:
            raise ConfigError(
                f"a reservoir notes {', '.join(Output._fields)} and draws at least once, "
                f"not columns={columns} and draws={draws}."
            )
        self.seen, self.columns, self.draws = 0, columns, draws
        self.owed = (0, 0)  # rows dropped and not made up for: that were stored, and that were not

    def drawn(self, size: int, generator: torch.Generator) -> dict[str, Rows]:
        """The parts ``memory``, ``memory_2``, ..., each drawn anew."""
        names = ["memory", *(f"memory_{i}" for i in range(2, self.draws + 1))]
        return {n: r for n in names for r in super(Reservoir, self).drawn(size, generator).values()}

    def observe(
        self, rows: Rows, epoch: int, generator: torch.Generator, out: Output | None = None
    ) -> None:
        """Offer the step's new rows in the first epoch of a task; later epochs renew what was noted."""
        if not self.capacity or not len(rows):
            return
        if self.columns:
            rows = self._noted(rows, out)
        if epoch == 0:
            self._offer(rows, generator)
        elif self.columns and self.rows is not None:
            self._renew(self.rows, rows, epoch, generator)

    def drop(self, keys: Tensor) -> int:
        """Forget samples that were offered; how many of them were stored."""
        stored = super().drop(keys)
        absent = int(keys.unique().numel()) - stored
        self.owed = (self.owed[0] + stored, self.owed[1] + absent)
        return stored

    def _made_up(self, rows: Rows, generator: torch.Generator) -> Rows:
        """Let the first rows stand for dropped ones; those that are left."""
        stored, total = self.owed[0], sum(self.owed)
        count = min(total, len(rows))
        if not count:
            return rows
        order = torch.randperm(total, generator=generator, device=generator.device)
        chosen = order[:count] < stored
        fresh = rows[slice(0, count)][chosen]
        if len(fresh):
            table = None if self.rows is None else self._widened(self.rows, fresh)
            self.rows = fresh if table is None else cat([table, fresh])
        self.owed = (stored - len(fresh), self.owed[1] - (count - len(fresh)))
        return rows[slice(count, None)]

    def _offer(self, rows: Rows, generator: torch.Generator) -> None:
        rows = self._made_up(rows, generator)
        if not len(rows):
            return
        capacity = self.capacity or 0
        fill = min(max(capacity - len(self), 0), len(rows))
        first = rows[slice(0, fill)]
        table = first if self.rows is None else cat([self._widened(self.rows, rows), first])
        late = rows[slice(fill, None)]
        number = self.seen + fill + torch.arange(len(late), device=generator.device) + 1
        place = (
            torch.rand(len(late), generator=generator, device=generator.device) * number
        ).long()
        self.seen += len(rows)
        both = torch.arange(len(table) + len(late), device=generator.device)
        source = torch.cat([both[: len(table)], both[:1]])  # at the end, where the refused land
        source.scatter_reduce_(0, place.clamp_max(len(table)), both[len(table) :], "amax")
        self.rows = cat([table, late])[source[:-1]]  # a later arrival overwrites an earlier one

    def _noted(self, rows: Rows, out: Output | None) -> Rows:
        if out is None:
            raise ConfigError(
                f"a reservoir with columns={self.columns} needs the learner's output: "
                "observe(rows, epoch, generator, out)."
            )
        columns = {name: getattr(out, name).detach().float() for name in self.columns}
        return replace(rows, extra=dict(rows.extra) | columns)

    def _widened(self, rows: Rows, like: Rows) -> Rows:
        """The rows with nan for the columns of a head that has grown since."""
        wide = {name: _pad(rows.extra[name], like.extra[name].shape[1]) for name in self.columns}
        return replace(rows, extra=dict(rows.extra) | wide)

    def _renew(self, stored: Rows, rows: Rows, epoch: int, generator: torch.Generator) -> None:
        """A row met for the (e+1)-th time is noted anew with chance 1 / (e+1): uniform over epochs."""
        chance = torch.rand(len(stored), generator=generator, device=generator.device)
        same = (stored.key[:, None] == rows.key) & (stored.task[:, None] == rows.task)
        met, source = same.any(1) & (chance * (epoch + 1) < 1), same.byte().argmax(1)
        extra = dict(stored.extra)
        for name in self.columns:
            fresh = rows.extra[name][source]
            extra[name] = torch.where(met[:, None], fresh, extra[name])
        self.rows = replace(stored, extra=extra)

    def get_extra_state(self) -> dict[str, object]:
        """The stored rows, how many were offered, and what is owed for dropped ones."""
        owed: dict[str, object] = {"owed": self.owed} if sum(self.owed) else {}
        return {"seen": self.seen, "stored": super().get_extra_state()} | owed

    def set_extra_state(self, state: dict) -> None:
        """Take over stored rows and counts."""
        self.seen, self.owed = state["seen"], tuple(state.get("owed", (0, 0)))
        super().set_extra_state(state["stored"])


def _pad(column: Tensor, width: int) -> Tensor:
    return functional.pad(column, (0, width - column.shape[1]), value=torch.nan)


MEMORIES.add("reservoir", Reservoir)
