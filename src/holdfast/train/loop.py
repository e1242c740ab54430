"""The one loop: an epoch. It alone touches the optimiser."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from holdfast.anchor.rule import edited
from holdfast.core.errors import ConfigError
from holdfast.core.output import OF_STAGES, Output
from holdfast.core.ranks import current
from holdfast.core.rng import make_generator, seeded
from holdfast.core.rows import Rows
from holdfast.core.step import Forward, Step
from holdfast.learner.synced import average_statistics
from holdfast.loss.classify import CrossEntropy
from holdfast.loss.term import Objective
from holdfast.stream.task import Task
from holdfast.train.adaptation import begin_adaptation
from holdfast.train.apart import backward, backward_apart
from holdfast.train.batch import make_step
from holdfast.train.events import Epoch
from holdfast.train.readouts import showing_only
from holdfast.train.records import FiniteWatch, RunningMeans
from holdfast.train.schedule import LR_SCHEDULES, WarmupCosine

if TYPE_CHECKING:
    from holdfast.train.continual import Continual


class Trainer:
    """What the epochs of one task share: the wrapped network, the optimiser, the learning rate."""

    def __init__(self, core: Continual, task: Task):
        begin_adaptation(core)
        training = core.setup.training
        self.objectives = core.method.objectives or [CrossEntropy()]
        self.columns = columns_read(self.objectives, core)
        self.pool = core.memory.pooled(task.train)
        self.new = NewRows(self.pool, task)
        self.epochs = training.epochs_of(task.index)
        self.batches = -(-len(self.pool) // training.batch)
        self.brought = core.method.trainable
        self.weights = trained_weights(core)
        self.optimizer = core.method.optimizer(self.weights, training)
        rates = LR_SCHEDULES[training.lr_schedule]
        self.schedule: WarmupCosine = rates(
            self.optimizer, self.epochs, self.batches, training.warmup
        )
        self.model: Forward
        self.model, self.wrapped = core.fabric.setup(core.learner, self.optimizer)  # type: ignore[assignment]


def trained_weights(core: Continual) -> list[nn.Parameter]:
    """What an optimiser moves: the learner's weights, then those that terms bring themselves."""
    return [*core.learner.parameters(), *core.method.trainable]


def columns_read(objectives: Sequence[Objective], core: Continual) -> tuple[str, ...]:
    """The columns of an `Output` that terms and memory read; all where a term does not say."""
    terms = [term for objective in objectives for term in objective.terms()]
    read = {name for term in terms for name in (*term.reads, *term.asks)} | {*core.memory.columns}
    if not all(term.reads for term in terms):
        read |= {*Output._fields} - {*OF_STAGES}  # which are there only if a term names them
    return tuple(name for name in Output._fields if name in read)


def run_epoch(core: Continual, task: Task, trainer: Trainer, epoch: int) -> Epoch:
    """One pass over a task: batch -> step -> loss and anchors -> update -> memory.

    Raises:
        DivergedError: when a loss term stops being finite.
        ConfigError: if no step's loss reached a weight.
    """
    pool, device = trainer.pool, core.fabric.device
    started, means = time.perf_counter(), RunningMeans(core.method.penalties)
    finite = FiniteWatch(device)
    generator = make_generator(device, core.setup.seed, "epoch", task.index, epoch)
    order = torch.randperm(len(pool), generator=generator, device=device)
    lr, moved = 0.0, False
    chance = seeded(device, core.setup.seed, "global", task.index, epoch)
    with chance, showing_only(core, trainer.columns):
        pieces = order.tensor_split(trainer.batches)
        for index, fresh in zip(pieces, trainer.new.places(pieces), strict=True):
            lr = trainer.optimizer.param_groups[0]["lr"]
            step = make_step(core, task, trainer, index, epoch, lr, generator)
            loss = update(core, trainer, step, finite)
            moved = moved or loss.requires_grad
            means.add(step.records, loss)
            observe(core, pool[index[fresh]], fresh, step, epoch, generator)
    finite.check()
    ranks = current()
    if ranks is not None:
        average_statistics(core.learner, ranks)
    if not moved:
        raise ConfigError(
            f"the loss of {core.method.name} reached no weight in task {task.index + 1}: nothing would "
            "be learned. Give it a term that reads the new rows, or unfreeze a layer (--tune-layers)."
        )
    seconds = time.perf_counter() - started
    place = (task.index, task.index + 1, epoch, trainer.epochs)
    return Epoch(*place, means.means(), lr, len(pool) / seconds, seconds)


def update(core: Continual, trainer: Trainer, step: Step, finite: FiniteWatch) -> Tensor:
    """One update: loss and anchors, backward, and the optimiser between the rules; the loss."""
    for part in trainer.objectives:
        part.foresee(step)
    values = [part(step) for part in trainer.objectives]
    loss = sum(values, start=step.zero)
    finite.add(loss, step)
    if loss.requires_grad:
        rules, apart = core.method.rules, None
        if any(rule.needs_split for rule in rules):
            apart = backward_apart(core, trainer, values)
        else:
            backward(core, trainer, loss)
        with edited(rules, core.learner, step, apart, trainer.brought):
            trainer.wrapped.step()
    trainer.schedule.step()
    return loss


def observe(
    core: Continual,
    rows: Rows,
    places: Tensor,
    step: Step,
    epoch: int,
    generator: torch.Generator,
) -> None:
    """Show the memory the step's new rows, with what the learner's output was if it notes that.

    Args:
        core: whose memory.
        rows: the new ones.
        places: of them in the batch.
        step: of the batch.
        epoch: of the task.
        generator: all of chance.
    """
    out = step["batch"].out.rows(places) if core.memory.columns else None
    core.memory.observe(rows, epoch, generator, out)


class NewRows:
    """Which rows of a pool came with the task: asked once an epoch, for a step would have to wait.

    Args:
        pool: what an epoch runs over.
        task: the task.
    """

    def __init__(self, pool: Rows, task: Task):
        self.new = (pool.task == task.index).cpu().numpy()
        self.all = bool(self.new.all())

    def places(self, pieces: Sequence[Tensor]) -> list[Tensor]:
        """Of each batch of indices into the pool, the places of new rows."""
        device = pieces[0].device
        if self.all:
            return [torch.arange(len(piece), device=device) for piece in pieces]
        new = self.new[torch.cat(list(pieces)).cpu().numpy()]
        ends = np.cumsum([len(piece) for piece in pieces])
        places = [np.flatnonzero(batch) for batch in np.split(new, ends[:-1])]
        moved = torch.from_numpy(np.concatenate(places)).to(device)
        return list(moved.split([len(batch) for batch in places]))
