"""Continual: a learner that is taught task after task, for as long as tasks come."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from holdfast.core.errors import ConfigError
from holdfast.core.output import Output
from holdfast.core.rng import derive_seed, in_range
from holdfast.core.rows import Rows
from holdfast.core.settings import Training
from holdfast.learner.learner import Learner
from holdfast.loss.term import distinct_labels
from holdfast.memory.meter import Holdings
from holdfast.recipes.method import Method
from holdfast.statistics.beside import Beside
from holdfast.stream.labels import Label
from holdfast.stream.task import Task, make_task
from holdfast.train.adaptation import awaiting
from holdfast.train.alone import refuse_alone
from holdfast.train.consolidation import consolidate, holdings_of
from holdfast.train.events import STOP, Epoch, ignore
from holdfast.train.few import leave_weights, too_few
from holdfast.train.identity import identify
from holdfast.train.loop import Trainer, run_epoch
from holdfast.train.opening import begin_parts, hold_parts
from holdfast.train.progress import Progress, classes_with
from holdfast.train.readouts import ask, choose_readouts, show_stages
from holdfast.train.records import check_weights
from holdfast.train.result import TaskNote, peak_memory
from holdfast.train.setup import Setup, as_setup
from holdfast.train.state import State, recall, restore, snapshot


class Continual:
    """A learner that is taught task after task and need not know what will come.

        >>> from holdfast import recipes
        >>> model = Continual(recipes.make("fnc2"), (2,), Training(epochs=1))
        >>> log = model.learn(model.arrive(torch.rand(8, 2), ["cat", "dog"] * 4))
        >>> log = model.learn(model.arrive(torch.rand(4, 2), ["owl"] * 4))
        >>> model.labels, tuple(model.scores(torch.rand(5, 2)).shape)
        (['cat', 'dog', 'owl'], (5, 3))

    A task that fails half way (`DivergedError`, Ctrl-C) leaves the network half way as well: learn
    on a `copy.deepcopy` where the former state must stay in use.

    Args:
        method: what to do; a copy is used.
        shape: of one input, (C, H, W) or (D,).
        setup: how it goes; a `Training` alone stands for a setup with it.
        classes: how many there will be in all, 0 if nobody knows. Then a head that would be made
            for all classes before the first task grows instead, and a frame goes on past its
            equidistant prototypes (`Frame.extend`), with a warning.

    Attributes:
        progress: how far it has come.
        learner: the network.
        past: the network before the task, as the terms see it; None in the first task.
        readouts: by name; ``readout`` names the main one.
        beside: further rows of the next task, of which there are statistics alone; None for none.

    Raises:
        ConfigError: for parts that do not fit together.
    """

    def __init__(
        self,
        method: Method,
        shape: tuple[int, ...],
        setup: Setup | Training = Setup(),
        classes: int = 0,
    ):
        self.method = method = copy.deepcopy(method)
        self.setup = setup = as_setup(setup).on(method, shape)
        distinct_labels(method.terms)
        self.protocol = setup.protocol_of(method)
        self.rows = method.rows
        self.memory = self.protocol.memory(method.memory, self.rows)
        self.readout, self.readouts = choose_readouts(setup, method, self.protocol)
        if method.frame is not None:
            method.frame.require(classes)
        self.augment = setup.augment_of(method, shape)
        self.fabric = setup.machine.fabric()
        with torch.random.fork_rng([]):
            torch.manual_seed(in_range(setup.seed))
            head = classes if any(term.whole_head for term in method.terms) else 0
            network = setup.network
            sizes = (network.width, method.dim, head, network.tune_layers, method.head)
            self.learner = awaiting(setup, method, Learner(shape, network.backbone, *sizes))
        for part in (self.learner, *method.objectives, *method.rules, *self.readouts.values()):
            self.fabric.to_device(part)
        self.learner.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.past: Learner | None = None
        self.past_eval: Learner | None = None  # the same weights in eval mode, for what measures
        show_stages(self)
        self.progress = Progress()
        self.beside: Beside | None = None
        self.trainer: Trainer | None = None  # of the task that is being learned
        self.pending: State | None = None  # optimiser state of a task that is taken up
        self.identity = identify(self)

    @property
    def labels(self) -> list[Label]:
        """The name of each class learned, in the order of arrival."""
        return list(self.progress.labels)

    @property
    def seen(self) -> tuple[int, ...]:
        """Classes of the tasks learned, by number."""
        return self.progress.seen

    def train_as(self, training: Training) -> None:
        """Learn the next tasks for as long and as fast as this says."""
        self.setup = replace(self.setup, training=training)
        self.identity = self.identity | {"training": asdict(training)}

    def arrive(self, x: Shaped[Tensor, "n ..."], labels: Sequence[Label]) -> Task:
        """The next task, of inputs and their labels; labels not met before are new classes.

        Nothing changes until it is learned. New, old and mixed classes may come, also one class or one
        image. After the first task fewer than 16 distinct inputs move no weight (`Task.few`).

        Args:
            x: (N, C, H, W) uint8 pixels or (N, D) float features, of the shape of the first task.
            labels: one an input.

        Raises:
            ConfigError: for inputs of another shape, no input, a label missing, or a class alone
                that the method cannot tell from the old ones.
        """
        if tuple(x.shape[1:]) != tuple(self.learner.shape) and not self.learner.embedded(x):
            raise ConfigError(
                f"inputs have shape {tuple(x.shape[1:])}, but those of the first task had "
                f"{tuple(self.learner.shape)}: all tasks of one network have inputs of one shape."
            )
        done = self.progress
        task, _ = make_task(x, labels, done.labels, done.task, done.arrived)
        task = replace(task, few=too_few(self, task.train.x))
        refuse_alone(self, task)
        return task

    def learn(self, task: Task, watch: Callable[[Epoch], object] = ignore) -> list[Epoch]:
        """Learn a task to its end, and say what each epoch was like.

        Args:
            task: the next one, from `arrive` or a stream; its test rows are not looked at.
            watch: called with each `Epoch`; if it returns `holdfast.STOP`, learning stops there, and
                goes on when the same task is learned again.

        Raises:
            ConfigError: for a task that is not the next one, or a loss that reaches no weight.
            ProtocolError: when a part keeps images that the protocol does not allow.
            DivergedError: when a loss term stops being finite.
        """
        log = []
        for epoch in self.epochs(task):
            log.append(epoch)
            if watch(epoch) is STOP:
                break
        return log

    def epochs(self, task: Task) -> Iterator[Epoch]:
        """The same as an iterator: an epoch is learned when it is asked for, at last what ends the task."""
        refuse_alone(self, task)
        self.progress = self.progress.begin(task)
        started = time.perf_counter() - self.progress.seconds
        task = replace(task, train=task.train.to(self.fabric.device))
        self._open(task)
        if self.trainer is not None:
            yield from self._train(task, self.trainer, started)
        hold_parts(self, None)
        consolidate(self, task)
        self._close(task, time.perf_counter() - started)

    def _train(self, task: Task, trainer: Trainer, started: float) -> Iterator[Epoch]:
        """The epochs of a task."""
        for epoch in range(self.progress.epochs, trainer.epochs):
            event = run_epoch(self, task, trainer, epoch)
            check_weights(self.learner, task, self.method.trainable)
            self.progress = self.progress.after_epoch(epoch, time.perf_counter() - started)
            yield event

    def _open(self, task: Task) -> None:
        """Make room for a task's classes, and what it is trained with."""
        if not self.progress.task and not self.progress.epochs:
            self.learner.normalise_by(task.train.x, self.setup.network.normalise)
        self.make_room(max(classes_with(self.progress.seen, task)) + 1, task.index)
        if not self.method.trains(task.index):
            return
        if not self.progress.epochs:
            begin_parts(self, task)
        if task.few:
            leave_weights(self, task)
            return
        if self.progress.epochs and self.trainer is not None:  # a watcher had stopped it
            self.pending = self.trainer.optimizer.state_dict()
        hold_parts(self, task)
        self.learner.train()
        self.trainer = Trainer(self, task)
        if self.pending is not None:
            recall(self.trainer.optimizer, self.pending)
            self.pending = None
        self.trainer.schedule.resume(self.progress.epochs)

    def make_room(self, classes: int, task: int) -> None:
        """Let head and frame have ``classes`` in all, with the randomness of a task."""
        with torch.random.fork_rng([]):
            torch.manual_seed(derive_seed(self.setup.seed, "head", task))
            self.learner.head.grow(classes if self.method.trains(task) else 0)
        if self.method.frame is not None:
            self.method.frame.extend(classes)

    def _close(self, task: Task, seconds: float) -> None:
        """Note what the task took."""
        labels = task.labels or self.progress.labels
        names = [str(labels[c] if labels else c) for c in task.classes]
        rows = len(task.train) + (self.beside.rows if self.beside else 0)
        epochs = self.setup.training.epochs_of(task.index) if self.trainer else 0
        memory = peak_memory(self.fabric.device)
        note = TaskNote(names, rows, epochs, round(seconds, 3), memory, self.holdings, task.few)
        self.progress = self.progress.after(task, note, note.images)
        self.trainer = self.beside = None

    def out(self, x: Shaped[Tensor, "n ..."]) -> Output:
        """What the network says of inputs as they rest, pixels or features."""
        none = torch.zeros(len(x), dtype=torch.long)
        return ask(self, Rows(x, none, none, none).to(self.fabric.device))

    @torch.no_grad()
    def scores(
        self, x: Shaped[Tensor, "n ..."], readout: str | None = None
    ) -> Float[Tensor, "n k"]:
        """(N, K) one score an input and class seen so far, by a readout's name (None: the main one).

        Raises:
            ConfigError: before the first task.
        """
        if not self.progress.task:
            raise ConfigError("nothing was learned yet: learn a task before asking for scores.")
        return self.readouts[readout or self.readout].scores(self.out(x))

    @property
    def holdings(self) -> Holdings:
        """What is stored of the past now."""
        return holdings_of(self)

    def state(self) -> State:
        """A snapshot between two epochs or tasks, as plain data; it shares no memory with this."""
        return snapshot(self)

    def restore(self, state: State) -> None:
        """Go on where a state was taken, bit for bit; a task that was begun must come again.

        Raises:
            ConfigError: for a state of other arguments than this was made from, naming what differs.
        """
        restore(self, state)
