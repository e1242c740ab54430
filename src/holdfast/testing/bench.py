"""A learner, its past and a step for checking one part by itself."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from holdfast.core.numerics import to_float
from holdfast.core.output import OF_STAGES
from holdfast.core.rows import Rows, cat
from holdfast.core.step import Step
from holdfast.learner.learner import Learner
from holdfast.memory.memory import NoMemory
from holdfast.readout.contexts import FitContext
from holdfast.stream.mixing import Mixing, mixed_table, mixtures
from holdfast.stream.task import Stream, Task
from holdfast.testing.streams import CLASSES, small_stream


class Bench:
    """A network for images of 8 x 8 pixels and steps of its second task; equal seeds, equal benches.

    Args:
        dim: width of the embedding.
        stream: its data; by default `small_stream`.

    Attributes:
        past: the network before the task.
        learner: the network now, some way from its past.
    """

    def __init__(self, dim: int = 16, stream: Stream | None = None):
        self.stream = small_stream() if stream is None else stream
        with torch.random.fork_rng([]):
            torch.manual_seed(0)
            self.past = Learner(self.stream.shape, "auto", 4, dim, CLASSES)
            self.past.normalise_by(self.stream[0].train.x)
            self.learner = Learner(self.stream.shape, "auto", 4, dim, CLASSES)
            with torch.no_grad():
                for new, old in zip(self.learner.parameters(), self.past.parameters()):
                    new.copy_(old + 0.1 * old.std().nan_to_num(0.1) * torch.randn_like(old))
        self.learner.load_state_dict(
            dict(self.past.state_dict()) | dict(self.learner.named_parameters())
        )
        self.past.eval().requires_grad_(False)
        for network in (self.past, self.learner):
            network.show_stages(OF_STAGES)

    @property
    def task(self) -> Task:
        """The task that is being learned, with its old one known."""
        return self.stream[1]

    def step(
        self,
        rows: Rows | None = None,
        views: int = 1,
        extra_rows: Rows | None = None,
        first: bool = False,
    ) -> Step:
        """A step of the second task.

        Args:
            rows: of the batch, as they rest; by default 8 of each of the task's classes.
            views: each row comes so many times, a little changed.
            extra_rows: the rows that a term brings itself.
            first: make it one of the first task instead, which has no past.
        """
        task = self.stream[0 if first else 1]
        rows = task.train[slice(None, None, 3)] if rows is None else rows
        memory = self.stream[0].train[slice(None, None, 6)]
        parts = {"batch": self._seen(rows, views)}
        if not first:
            parts |= {
                name: self._seen(self._noted(memory), views) for name in ("memory", "memory_2")
            }
        if extra_rows is not None:
            parts["given"] = self._seen(extra_rows, views)
        parts["mixed"] = self._mixed(parts["batch"])
        return Step(
            parts,
            self.learner,
            None if first else self.past,
            task=task.index,
            classes=task.classes,
            seen=self.stream.seen(task.index),
            epochs=2,
            known=() if first else self.stream.seen(0),
            learner=self.learner,
            lr=0.05,
            size=len(task.train),
        )

    def _mixed(self, rows: Rows) -> Rows:
        """The same views, mixed among themselves."""
        new = torch.ones(len(rows), dtype=torch.bool)
        draw = Mixing(kept=0.25).draw(new, torch.Generator().manual_seed(8))
        return mixed_table(rows, *draw).with_x(mixtures(rows.x, *draw))

    def _noted(self, rows: Rows) -> Rows:
        with torch.no_grad():
            logits = self.past(to_float(rows.x)).logits[:, :2]
        return replace(rows, extra={"logits": logits})

    def _seen(self, rows: Rows, views: int) -> Rows:
        """Views: the rows as floats, each later view with a little noise of its own."""
        chance = torch.Generator().manual_seed(7)
        x = to_float(rows.x)
        seen = [x + 0.02 * v * torch.randn(x.shape, generator=chance) for v in range(views)]
        return cat([rows.with_x(view) for view in seen])

    def context(self, index: int, seen: tuple[int, ...] | None = None) -> FitContext:
        """A task of the stream as a readout sees it, the network as it is."""
        task = self.stream[index]
        classes = self.stream.seen(index) if seen is None else seen
        past = self.past if index else None
        return FitContext(self.learner, task, NoMemory(), classes, past)


def same_rows(rows: Rows, count: int) -> Rows:
    """The first row, ``count`` times over under keys of its own."""
    index = torch.zeros(count, dtype=torch.long)
    return replace(rows[index], key=torch.arange(count))


def gradients(value: Tensor, learner: Learner) -> dict[str, Tensor]:
    """The gradient of a value, by parameter; those it does not reach are left out."""
    named = dict(learner.named_parameters())
    if not value.requires_grad:
        return {}
    slopes = torch.autograd.grad(value, list(named.values()), allow_unused=True)
    return {name: slope for name, slope in zip(named, slopes) if slope is not None}
