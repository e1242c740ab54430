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

    def _offer(self, rows: Rows, generator: torch.Generator) -> None:
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
        """The stored rows and how many were offered."""
        return {"seen": self.seen, "stored": super().get_extra_state()}

    def set_extra_state(self, state: dict) -> None:
        """Take over stored rows and the count."""
        self.seen = state["seen"]
        super().set_extra_state(state["stored"])


def _pad(column: Tensor, width: int) -> Tensor:
    return functional.pad(column, (0, width - column.shape[1]), value=torch.nan)


MEMORIES.add("reservoir", Reservoir)
