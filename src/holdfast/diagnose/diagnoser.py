"""Diagnoser: looks at a run after each of its tasks and changes nothing in it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import torch
from jaxtyping import Float
from rich.console import RenderableType
from torch import Tensor

from holdfast.core.rng import seeded
from holdfast.curvature.persample import evaluating
from holdfast.diagnose import knowledge, representation
from holdfast.diagnose.catalogue import (
    BETWEEN,
    COLLAPSE,
    DIMENSION,
    KNOWS,
    MOVED,
    STAGES,
    WEIGHTS,
)
from holdfast.diagnose.moment import Moment, Values, all_missing, look, says
from holdfast.diagnose.plane import planes
from holdfast.diagnose.records import Records
from holdfast.diagnose.report import Diagnosis, TaskDiagnosis, read_diagnosis
from holdfast.diagnose.spoken import kept, sentences
from holdfast.diagnose.stages import stage_figures
from holdfast.diagnose.table import shown
from holdfast.diagnose.watched import watch
from holdfast.diagnose.weights import PROBES, ROWS, Trail, update_of, weight_figures
from holdfast.learner.learner import Learner
from holdfast.recipes.method import Method
from holdfast.stream.task import Stream
from holdfast.train.events import Event, TaskDone
from holdfast.train.runner import Run


class Diagnoser:
    """Diagnoses a run after each task; to be called with its events, or `after` a task.

    It draws from random states of its own, and what it keeps no part of the run can reach: figures,
    protocol and meter of the run are those without it.

    Args:
        stream: the tasks.
        folder: of the run, where diagnostics.json and watched.safetensors are written; None keeps
            all in memory.
        per_class: watched rows a class; 0 is the usual number (`watch`).
        seed: of the watched rows and of all that is drawn.
        done: tasks that the run had finished before; what a folder has of them is taken up.

    Raises:
        ConfigError: for a stream without test rows.
        StoreError: for files of an earlier diagnosis that are damaged.
    """

    def __init__(
        self,
        stream: Stream,
        folder: Path | None = None,
        per_class: int = 0,
        seed: int = 0,
        done: int = 0,
    ):
        self.stream, self.folder, self.seed = stream, folder, seed
        self.watched = watch(stream, seed, per_class)
        self.records, self.tasks, self.seconds = Records(), [], 0.0
        if folder is not None and done:
            self._take_up(folder, done)

    def _take_up(self, folder: Path, done: int) -> None:
        earlier = read_diagnosis(folder)
        self.records = Records.read(folder, self.watched, done)
        if earlier is not None and earlier.watched.get("rows") == len(self.watched):
            self.seconds = earlier.seconds
            self.tasks = [task for task in earlier.tasks if task.task < done]

    def cost(self) -> str:
        """What it will take, in a sentence."""
        return (
            f"diagnosis: {len(self.watched)} watched rows (up to {self.watched.per_class} a class of "
            f"each task's test rows); after each task a pass over them, the gradients of {ROWS} training "
            f"rows, and about {2 * PROBES + 25} products of these with the Hessian"
        )

    def spent(self, learning: float) -> str:
        """What it took beside so many seconds of learning, in a sentence."""
        share = f", {100 * self.seconds / learning:.0f} % of learning" if learning > 0 else ""
        return f"diagnosis took {self.seconds:.1f} s{share}"

    def shown(self, learning: float, every: bool = False) -> tuple[RenderableType, str]:
        """A table for the terminal, and what the diagnosis took beside so many seconds of learning."""
        return shown(self.diagnosis, every), self.spent(learning)

    def __call__(self, run: Run, event: Event) -> None:
        """Look at a run if the event is the end of a task."""
        if isinstance(event, TaskDone):
            self.after(run, event.task)

    def after(self, run: Run, task: int) -> TaskDiagnosis:
        """Look at a run whose last finished task this is."""
        core, result = run.continual, run.result
        matrices = (result.class_il.matrix, result.task_il.matrix)
        method, device = core.method, core.fabric.device
        return self.look(run.learner, method, task, matrices, device)

    def look(
        self,
        learner: Learner,
        method: Method | None,
        task: int,
        matrices: tuple[Float[Tensor, "t t"], Float[Tensor, "t t"]],
        device: torch.device,
        reference: Float[Tensor, " t"] | None = None,
    ) -> TaskDiagnosis:
        """Look at the network after a task.

        Args:
            learner: the network.
            method: what it was taught with; None if it is not known.
            task: its index.
            matrices: Class-IL and Task-IL accuracies of the run.
            device: to compute on.
            reference: Task-IL accuracy on each task of a run that was free to learn.
        """
        started = time.perf_counter()
        with seeded(device, self.seed, "diagnose", task), evaluating(learner):
            now, until = look(learner, self.watched, device), slice(0, task + 1)
            sizes = torch.tensor([float(len(t.test)) for t in self.stream.tasks[until]])
            a, b = (m[until, until] for m in matrices)
            past = {j: seen for j, seen in self.records.networks.items() if j < task}
            moment = Moment(task, self.watched, now, past, method, learner, a, b, sizes, reference)
            trail = self._trail(task)
            values, balance = _figures(moment, self.stream, trail, self.seed), kept(moment)
            values |= balance[0]
            words = sentences(moment, values, balance[1])
        seen = TaskDiagnosis.of(task, values, words)
        self._keep(seen, moment, trail)
        self.seconds += time.perf_counter() - started
        self.write()
        return seen

    def _trail(self, task: int) -> Trail:
        """The weights before, if the network of the task before is the last one that was seen."""
        if max(self.records.networks, default=-1) != task - 1:
            return Trail()
        return Trail(self.records.last, self.records.update)

    def _keep(self, seen: TaskDiagnosis, moment: Moment, trail: Trail) -> None:
        """Take in a task; the axes of the newest one are those of all pictures."""
        records, state = self.records, moment.learner.state_dict()
        records.update = None if trail.before is None else update_of(trail.before, state)
        records.last = {name: t.detach().cpu().clone() for name, t in state.items()}
        records.networks[seen.task] = says(moment.now)
        self.tasks = [t for t in self.tasks if t.task != seen.task] + [seen]
        frame = None if moment.method is None else moment.method.frame
        bank = None if frame is None else frame.vectors.cpu()
        drawn = {}
        with suppress(RuntimeError):  # features that are not finite have no axes
            drawn = planes(self.watched, records.networks, self.stream.names, bank)
        self.tasks = [
            TaskDiagnosis(t.task, t.figures, t.reasons, t.verdicts, drawn.get(t.task, t.embedding))
            for t in self.tasks
        ]

    @property
    def diagnosis(self) -> Diagnosis:
        """All so far."""
        about = {
            "rows": len(self.watched),
            "per_class": self.watched.per_class,
            "source": self.watched.source,
        }
        return Diagnosis(about, self.seconds, self.tasks)

    def write(self) -> None:
        """Into the folder, if there is one."""
        if self.folder is not None:
            self.records.write(self.folder, self.watched)
            self.diagnosis.write(self.folder)


def diagnose(run: Run, per_class: int = 0, seed: int = 0) -> Diagnosis:
    """Learn a run to its end, and look at it after each task.

    Args:
        run: one that has not begun.
        per_class: watched rows a class; 0 is the usual number.
        seed: of the watched rows.

    Raises:
        ConfigError: for a stream without test rows; and what the run raises.
    """
    diagnoser = Diagnoser(run.stream, None, per_class, seed)
    for event in run.events():
        diagnoser(run, event)
    return diagnoser.diagnosis


def _figures(moment: Moment, stream: Stream, trail: Trail, seed: int) -> Values:
    """All but plasticity; a group that cannot be computed does not end a run."""
    groups: list[tuple[Mapping[str, object], Callable[[], Values]]] = [
        (COLLAPSE, lambda: representation.collapse(moment)),
        (BETWEEN, lambda: representation.between(moment)),
        (KNOWS, lambda: knowledge.knows(moment)),
        (MOVED, lambda: knowledge.moved(moment)),
        (DIMENSION, lambda: representation.dimensions(moment)),
        (STAGES, lambda: stage_figures(moment, stream, seed)),
        (WEIGHTS, lambda: weight_figures(moment, stream, trail, seed)),
    ]
    values: Values = {}
    for names, compute in groups:
        try:
            values |= compute()
        except (RuntimeError, ValueError, ArithmeticError) as error:
            line = str(error).partition("\n")[0][:120]
            values |= all_missing(list(names), f"it cannot be computed ({line})")
    return values
