"""Step and Part: what one update sees."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor

from holdfast.core.ranks import Ranks
from holdfast.core.rows import Rows

if TYPE_CHECKING:
    from holdfast.core.output import Output
    from holdfast.learner.learner import Learner

Forward = Callable[[Tensor], "Output"]
T = TypeVar("T")


class Share:
    """The rows of a part whose inputs one of several processes has.

    Args:
        x: its inputs.
        rows: of all processes.
        ranks: the processes.
        columns: of an output, those that somebody reads; the others travel to nobody, and are nan.
    """

    def __init__(self, x: Tensor, rows: int, ranks: Ranks, columns: Collection[str]):
        self.x, self.rows, self.ranks, self.columns = x, rows, ranks, columns

    def asked(self, forward: Forward) -> Output:
        """What a network says of all processes' rows, each having asked it of its own."""
        with self.ranks.parted(self.rows):
            out = forward(self.x)
        read = out._asdict()
        whole = self.ranks.gathered([read[name] for name in self.columns], self.rows)
        nobody = self.x.new_full((1, 1), torch.nan).expand(self.rows, 1)
        unread: dict[str, Any] = {
            n: nobody if isinstance(c, Tensor) else None for n, c in read.items()
        }
        columns: dict[str, Any] = unread | dict(zip(self.columns, whole, strict=True))
        return type(out)(**columns)


class Part:
    """A group of rows, what the learner says of them, and what the past network says.

    Both outputs are computed on first use and then kept: however many terms ask, a part costs one
    forward pass of each network.

    Where several processes learn together, ``rows`` and outputs are those of all of them, so that a
    term computes what it would alone; of the inputs ``rows.x`` nobody has all, and they are nan.
    """

    def __init__(
        self,
        rows: Rows,
        forward: Forward,
        past: Forward | None,
        share: Share | None = None,
        past_share: Share | None = None,
    ):
        self.rows, self._forward, self._past = rows, forward, past
        self.share, self._past_share = share, share or past_share

    def anew(self) -> Part:
        """The same rows, of which the learner is asked again, as it is then; the past network is not."""
        again = Part(self.rows, self._forward, self._past, self.share, self._past_share)
        if "past" in self.__dict__:
            again.__dict__["past"] = self.past
        return again

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def out(self) -> Output:
        """The learner's output, with its graph."""
        return self._asked(self._forward, self.share)

    @cached_property
    def past(self) -> Output:
        """The past network's output, without gradient."""
        if self._past is None:
            raise LookupError("there is no past network in the first task.")
        with torch.no_grad():
            return self._asked(self._past, self._past_share)

    def _asked(self, forward: Forward, share: Share | None) -> Output:
        """What a network says of all rows."""
        return forward(self.rows.x) if share is None else share.asked(forward)

    def inputs(self) -> Tensor:
        """The inputs of all rows, also where several processes have a share of them each."""
        share = self.share
        return self.rows.x if share is None else share.ranks.gather([share.x], share.rows)[0]

    @property
    def teacher(self) -> Forward | None:
        """The past network itself, for other inputs; None in the first task."""
        return self._past

    def where(self, mask: Tensor) -> Part:
        """The rows under a mask; they share this part's forward passes."""
        return Part(
            self.rows[mask],
            lambda _: self.out.rows(mask),
            None if self._past is None else lambda _: self.past.rows(mask),
        )

    def taught(self, past: Forward) -> Part:
        """The same rows, of which another network is the past; the learner is not asked again."""
        return Part(self.rows, lambda _: self.out, past, past_share=self._past_share)


class Step:
    """One update: named parts, the task's place in the stream, and a record for the log.

    Args:
        parts: rows by name, or parts; ``batch`` always, a memory may add its own draws. ``new`` and ``old``
            are the rows of ``batch`` that came with the current and with earlier tasks.
        forward: the learner.
        past: the past network, None in the first task.
        task: index of the task.
        classes: the task's classes.
        seen: all classes so far, the task's own included.
        epoch, epochs: position within the task.
        known: classes of earlier tasks, also those that come again; None takes all that do not.
        learner: whose weights this update moves, for anchors that hold weights.
        lr: learning rate of this update.
        size: images the task is learned from, which a mean loss is a mean over; 0 takes the batch's.
    """

    def __init__(
        self,
        parts: Mapping[str, Rows | Part],
        forward: Forward,
        past: Forward | None = None,
        task: int = 0,
        classes: tuple[int, ...] = (),
        seen: tuple[int, ...] = (),
        epoch: int = 0,
        epochs: int = 1,
        known: tuple[int, ...] | None = None,
        learner: Learner | None = None,
        lr: float = 0.0,
        size: int = 0,
    ):
        self._parts = {
            name: rows if isinstance(rows, Part) else Part(rows, forward, past)
            for name, rows in parts.items()
        }
        self.learner, self.lr = learner, lr
        self.size = size or self._parts["batch"].rows.images
        self.task, self.classes, self.seen = task, classes, seen
        self.epoch, self.epochs = epoch, epochs
        self.has_past = past is not None
        self.known = self.old_classes if known is None else known
        self.records: dict[str, Tensor] = {}
        self._done: dict[int, Any] = {}

    @cached_property
    def old_classes(self) -> tuple[int, ...]:
        """Classes seen before that do not come again in this task."""
        now = set(self.classes)
        return tuple(c for c in self.seen if c not in now)

    @cached_property
    def zero(self) -> Tensor:
        """A scalar 0 on the step's device."""
        return torch.zeros((), device=self._parts["batch"].rows.y.device)

    def find(self, name: str) -> Part | None:
        """The named part, or None if this step has no such rows."""
        if name in ("new", "old") and name not in self._parts:
            batch = self._parts["batch"]
            mask = batch.rows.task == self.task
            self._parts[name] = batch.where(mask if name == "new" else ~mask)
        part = self._parts.get(name)
        return part if part is not None and len(part) else None

    def __getitem__(self, name: str) -> Part:
        part = self.find(name)
        if part is None:
            raise KeyError(
                f"this step has no rows named '{name}'; it has {', '.join(self._parts)}."
            )
        return part

    def anew(self) -> Step:
        """The same update before anything was asked of the learner, with records of its own."""
        twin = copy.copy(self)
        drawn = {name: part for name, part in self._parts.items() if name not in ("new", "old")}
        twin._parts = {name: part.anew() for name, part in drawn.items()}
        twin.records = {}
        return twin

    def taught(self, past: Callable[[Part], Forward]) -> Step:
        """The same update with another past network for each part; records are shared.

        Args:
            past: what a part takes for the past network.
        """
        twin = copy.copy(self)
        twin._parts = {name: part.taught(past(part)) for name, part in self._parts.items()}
        return twin

    def once(self, who: object, work: Callable[[], T]) -> T:
        """What some work gave when it was first asked in this update, in which a loss may be asked again.

        Args:
            who: whose work.
            work: done the first time.
        """
        if id(who) not in self._done:
            self._done[id(who)] = work()
        return self._done[id(who)]

    def record(self, name: str, value: Tensor) -> None:
        """Note a scalar for the log; the last value under a name counts."""
        self.records[name] = value.detach()
