"""What one update sees: the batch and the memory's draws, as views."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from holdfast.anchor.ghost import GhostNorm
from holdfast.core.output import Output
from holdfast.core.ranks import current
from holdfast.core.rows import Rows
from holdfast.core.step import Forward, Part, Share, Step
from holdfast.memory.memory import pick
from holdfast.stream.augment import views
from holdfast.stream.mixing import mixed_table, mixtures
from holdfast.stream.task import Task
from holdfast.train.progress import classes_with

if TYPE_CHECKING:
    from holdfast.learner.learner import Learner
    from holdfast.train.continual import Continual
    from holdfast.train.loop import Trainer


def make_step(
    core: Continual,
    task: Task,
    trainer: Trainer,
    index: Tensor,
    epoch: int,
    lr: float,
    generator: torch.Generator,
) -> Step:
    """The step of the rows at these places of the trainer's pool."""
    rows = trainer.pool[index]
    raw = {"batch": core.memory.mixed(rows, generator)}
    raw |= core.memory.drawn(len(rows), generator)
    if core.rows is not None:
        raw["given"] = pick(core.rows, len(rows), generator)
    if any(term.turns for term in core.method.terms):
        raw["turned"] = turned(rows)
    past = past_forward(core)
    parts = {name: seen(core, trainer, part, past, generator) for name, part in raw.items()}
    mixing = core.method.mixing
    if mixing is not None and wants_mixed(core):
        new = parts["batch"].rows.task == task.index
        draw = mixing.draw(new, generator)
        parts["mixed"] = mixed(core, trainer, parts["batch"], past, *draw)
    return Step(
        parts,
        trainer.model,
        past,
        task.index,
        task.classes,
        classes_with(core.progress.seen, task),
        epoch=epoch,
        epochs=trainer.epochs,
        known=core.progress.seen,
        learner=core.learner,
        lr=lr,
        size=len(trainer.pool),
    )


def turned(rows: Rows) -> Rows:
    """Three copies of square images, by one to three quarter turns; the column ``turn`` says how many."""
    x = torch.cat([rows.x.rot90(quarters, (-2, -1)) for quarters in (1, 2, 3)])
    turn = torch.arange(1, 4, device=rows.y.device).repeat_interleave(
        len(rows), output_size=3 * len(rows)
    )
    table = rows.repeat(3)
    return replace(table, x=x, extra={"turn": turn})


def seen(
    core: Continual,
    trainer: Trainer,
    rows: Rows,
    past: Forward | None,
    generator: torch.Generator,
) -> Part:
    """Views of rows, as a part of a step; of several processes each makes its share of them."""
    count = core.method.views if len(rows) > 1 else max(2, core.method.views)  # for batch norm
    ranks = current()
    share = None if ranks is None else ranks.share(count * len(rows))
    if ranks is None or share is None:
        table = views(core.augment, rows, count, generator)
        return Part(table, model_for(core, trainer, table), past)
    table = rows.repeat(count)
    x = core.augment.some(table.x, share, generator)
    nobody = torch.full((1, 1), torch.nan, device=x.device).expand(len(table), 1)
    here = Share(x, len(table), ranks, trainer.columns)
    return Part(table.with_x(nobody), trainer.model, past, here)


def model_for(core: Continual, trainer: Trainer, rows: Rows) -> Forward:
    """The learner's forward pass for rows: by ghosts, if the method asks for that."""
    for rule in core.method.rules:
        if isinstance(rule, GhostNorm):
            return rule.around(trainer.model, core.learner, rows, core.progress.task)
    return trainer.model


def wants_mixed(core: Continual) -> bool:
    """Whether a term asks mixed rows in the task that is learned."""
    on = [term for term in core.method.terms if term.on == "mixed"]
    return any(core.past is not None or not term.needs_past for term in on)


def mixed(
    core: Continual,
    trainer: Trainer,
    batch: Part,
    past: Forward | None,
    partner: Tensor,
    share: Tensor,
) -> Part:
    """A batch's views mixed with their partners; of several processes each mixes its share of them.

    Args:
        core: that learns.
        trainer: of the task.
        batch: the part ``batch``.
        past: the past network.
        partner: (N,) places of partners.
        share: (N,) how much of each row is its own.
    """
    table, here = mixed_table(batch.rows, partner, share), batch.share
    some = slice(None) if here is None else here.ranks.share(len(table))
    assert some is not None  # a batch that is shared has enough rows
    x = mixtures(batch.inputs(), partner, share, some)
    if here is None:
        table = table.with_x(x)
        return Part(table, model_for(core, trainer, table), past)
    if x.ndim == 4:
        x = x.contiguous(memory_format=torch.channels_last)
    return Part(table, trainer.model, past, Share(x, len(table), here.ranks, here.columns))


def past_forward(core: Continual) -> Forward | None:
    """The past network under the run's precision; None in the first task."""
    return None if core.past is None else partial(_say, core, core.past)


def _say(core: Continual, past: Learner, x: Tensor) -> Output:
    with core.fabric.autocast():
        return past(x)
