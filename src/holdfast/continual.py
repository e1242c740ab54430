"""The one loop: it alone touches the optimiser, and it enforces the protocol.

rows -> step -> loss + anchors -> update -> memory -> readout, a task at a time, for as long as tasks come.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from holdfast.anchor.rule import edited
from holdfast.chance import generator_of, seed_of
from holdfast.errors import ConfigError
from holdfast.events import Epoch
from holdfast.learner.learner import Learner, Output, outputs
from holdfast.ledger import Totals, check_finite, check_weights
from holdfast.memory.memory import pick
from holdfast.memory.meter import Holdings, forbid_images, measure
from holdfast.memory.protocol import Protocol
from holdfast.method import Method, given_rows, make_readout
from holdfast.readout.readout import Lesson, Readout
from holdfast.result import TaskNote, peak_memory
from holdfast.resume import Resumable
from holdfast.settings import Machine, Model, Training
from holdfast.step import Forward, Step
from holdfast.stream.arrival import Label, arrival
from holdfast.stream.augment import Augment, to_float, views
from holdfast.stream.rows import Rows
from holdfast.stream.sets import suited
from holdfast.stream.task import Task


class Continual(Resumable):
    """A learner that is taught task after task and need not know what will come.

        >>> from holdfast import recipes
        >>> model = Continual(recipes.make("fnc2"), (2,), Training(epochs=1))
        >>> for epoch in model.learn(model.arrive(torch.rand(8, 2), ["cat", "dog"] * 4)): pass
        >>> for epoch in model.learn(model.arrive(torch.rand(4, 2), ["owl"] * 4)): pass
        >>> model.labels, tuple(model.scores(torch.rand(5, 2)).shape)
        (['cat', 'dog', 'owl'], (5, 3))

    A task that fails half way (`DivergedError`, Ctrl-C) leaves the network half way as well: learn
    on a `copy.deepcopy` where the former state must stay in use.

    Args:
        method: what to do; a copy is used.
        shape: of one input, (C, H, W) or (D,).
        training: epochs, batch size and optimiser settings.
        protocol: what may be stored; None takes the method's own.
        readout: by name, or one of your own, of which a copy is used.
        also: further readouts to read the same network with, by name.
        model: the network.
        machine: device and precision.
        augment: the random views; None chooses by the inputs' shape and the method's views.
        seed: of weights, batches and views.
        classes: how many there will be in all, 0 if nobody knows. Then a head that would be made
            whole before the first task grows instead, so that ``all`` classes are those so far, and
            a frame goes on past its equidistant prototypes (`Frame.extend`), with a warning.

    Attributes:
        labels: the name of each class, in the order of arrival, of the tasks made by `arrive`.
        seen: classes so far, by number.
        done: tasks learned so far.
        notes: one `TaskNote` a learned task.

    Raises:
        ConfigError: for parts that do not fit together.
    """

    def __init__(
        self,
        method: Method,
        shape: tuple[int, ...],
        training: Training = Training(),
        protocol: Protocol | None = None,
        readout: str | Readout = "auto",
        also: Sequence[str] = (),
        model: Model = Model(),
        machine: Machine = Machine(),
        augment: Augment | None = None,
        seed: int = 0,
        classes: int = 0,
    ):
        self.method = method = copy.deepcopy(method)
        self.training, self.model, self.machine, self.seed = training, model, machine, seed
        self.protocol = protocol or method.protocol
        self.given = given_rows(method)
        self.memory = self.protocol.memory(method.memory, self.given)
        named = isinstance(readout, str)
        main = make_readout(readout, method, self.protocol) if named else copy.deepcopy(readout)
        others = [make_readout(name, method, self.protocol) for name in also if name != main.name]
        self.readouts = {r.name: r for r in (main, *others)}
        self.readout = main.name
        if method.frame is not None:
            method.frame.require(classes)
        self.augment = augment or suited(shape, method.views)
        self.fabric = machine.fabric()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            head = classes if any(term.whole_head for term in method.terms) else 0
            sizes = (model.width, method.dim, head, model.tune_layers)
            self.learner = Learner(shape, model.backbone, *sizes)
        for part in (self.learner, *method.objectives, *method.rules, *self.readouts.values()):
            self.fabric.to_device(part)
        self.learner.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.past: Learner | None = None  # as the terms see it, in the model's past_mode
        self.before: Learner | None = None  # the same weights, as the readouts read them
        self.labels: list[Label] = []
        self.seen: tuple[int, ...] = ()
        self.done, self.arrived, self.notes = 0, 0, []
        self.identity = self.identify()

    def arrive(self, x: Shaped[Tensor, "n ..."], labels: Sequence[Label]) -> Task:
        """The next task, of inputs and their labels; labels not met before are new classes.

        New, old and mixed classes may come, in any numbers, also one class alone or one image.

        Args:
            x: (N, C, H, W) uint8 pixels or (N, D) float features, of the shape of the first task.
            labels: one an input.

        Raises:
            ConfigError: for inputs of another shape, no input, a label missing, or a class alone
                that the method cannot tell from the old ones.
        """
        if tuple(x.shape[1:]) != tuple(self.learner.shape):
            raise ConfigError(
                f"inputs have shape {tuple(x.shape[1:])}, but those of the first task had "
                f"{tuple(self.learner.shape)}: all tasks of one network have inputs of one shape."
            )
        task, known = arrival(x, labels, self.labels, self.done, self.arrived)
        alone = len(task.classes) == 1 and self.done > 0 and self.readout == "head"
        if alone and any(term.needs_rivals for term in self.method.terms):
            raise ConfigError(
                f"the recipe {self.method.name} contrasts a task's classes with each other only, so a "
                f"task of '{labels[0]}' alone teaches its head nothing: give two classes at once, or "
                "use the readout gaussian."
            )
        self.former = (self.labels, self.arrived)
        self.labels, self.arrived = known, self.arrived + len(x)
        return task

    def learn(self, task: Task) -> Iterator[Epoch]:
        """Learn the next task, from the epoch where it stands; its test rows are not looked at.

        Raises:
            ProtocolError: when a part keeps images that the protocol does not allow.
            DivergedError: when a loss term stops being finite.
        """
        self.started = time.perf_counter() - self.spent
        task = replace(task, train=task.train.to(self.fabric.device))
        self.known, self.seen = self.seen, tuple(sorted({*self.seen, *task.classes}))
        if not self.done:
            self.learner.normalise_by(to_float(task.train.x))
        self.make_room(max(self.seen) + 1, task.index)
        yield from self._epochs(task)
        check_weights(self.learner, task)
        self._consolidate(task)
        epochs, peak = self.training.epochs_of(task.index), peak_memory(self.fabric.device)
        seconds = round(time.perf_counter() - self.started, 3)
        names = [str(self.labels[c]) if self.labels else str(c) for c in task.classes]
        self.notes.append(TaskNote(names, len(task.train), epochs, seconds, peak, self.holdings))
        self.close()

    def make_room(self, classes: int, task: int) -> None:
        """Let head and frame have ``classes`` in all, with the randomness of a task."""
        with torch.random.fork_rng():
            torch.manual_seed(seed_of(self.seed, "head", task))
            self.learner.head.grow(classes)
        if self.method.frame is not None:
            self.method.frame.extend(classes)

    def out(self, x: Shaped[Tensor, "n ..."]) -> Output:
        """What the network says of inputs as they rest, pixels or features."""
        none = torch.zeros(len(x), dtype=torch.long)
        return outputs(self.learner, Rows(x, none, none, none).to(self.fabric.device))

    @torch.no_grad()
    def scores(
        self, x: Shaped[Tensor, "n ..."], readout: str | None = None
    ) -> Float[Tensor, "n k"]:
        """(N, K) one score an input and class seen so far, by a readout's name (None: the main one).

        Raises:
            ConfigError: before the first task.
        """
        if not self.done:
            raise ConfigError("nothing was learned yet: learn a task before asking for scores.")
        return self.readouts[readout or self.readout].scores(self.out(x))

    @property
    def holdings(self) -> Holdings:
        """What is held of the past now."""
        return measure(self._kept() | {"memory": self.memory}, self.past or self.before)

    def _epochs(self, task: Task) -> Iterator[Epoch]:
        """The epochs of a task that are left, each with randomness of its own, from its place."""
        self.learner.train()
        optimizer = self.method.optimizer(self.learner.parameters(), self.training)
        self.open(optimizer)
        model, optimizer = self.fabric.setup(self.learner, optimizer)
        epochs = self.training.epochs_of(task.index)
        pool = self.memory.pooled(task.train)
        for epoch in range(self.epochs, epochs):
            generator = generator_of(self.fabric.device, self.seed, "epoch", task.index, epoch)
            started, totals, lr = time.perf_counter(), Totals(self.method.penalties), 0.0
            order = torch.randperm(len(pool), generator=generator, device=self.fabric.device)
            batches = order.tensor_split(-(-len(pool) // self.training.batch))
            for number, index in enumerate(batches):
                lr = self.training.lr_at(epoch + (number + 0.5) / len(batches), epochs)
                for group in optimizer.param_groups:
                    group["lr"] = lr
                at = {"epoch": epoch, "lr": lr, "size": len(pool), "known": self.known}
                step = self._step(pool[index], task, at, model, generator)
                self._update(step, optimizer, totals)
                fresh = (pool.task[index] == task.index).nonzero()[:, 0]
                out = step["batch"].out.rows(fresh) if self.memory.columns else None
                self.memory.observe(pool[index[fresh]], epoch, generator, out)
            self.epochs, seconds = epoch + 1, time.perf_counter() - started
            place = (task.index, task.index + 1, epoch, epochs)
            yield Epoch(*place, totals.means(), lr, len(pool) / seconds, seconds)

    def _step(
        self,
        rows: Rows,
        task: Task,
        at: Mapping[str, Any],
        forward: Forward,
        generator: torch.Generator,
    ) -> Step:
        """What one update sees: the batch and the memory's draws, as views.

        ``at`` is its place: epoch, learning rate, how many images an epoch has, classes known before.
        """
        raw = {"batch": self.memory.mixed(rows, generator)}
        raw |= self.memory.drawn(len(rows), generator)
        if self.given is not None:
            raw["given"] = pick(self.given, len(rows), generator)
        count = {
            name: self.method.views if len(r) > 1 else max(2, self.method.views)
            for name, r in raw.items()
        }
        parts = {name: views(self.augment, r, count[name], generator) for name, r in raw.items()}
        past = None if self.past is None else self._past_forward
        epochs = self.training.epochs_of(task.index)
        return Step(
            parts, forward, past, task.index, task.classes, self.seen,
            epochs=epochs, learner=self.learner, **at,
        )  # fmt: skip

    def _past_forward(self, x: Tensor) -> Output:
        assert self.past is not None
        with self.fabric.autocast():
            return self.past(x)

    def _update(self, step: Step, optimizer: torch.optim.Optimizer, totals: Totals) -> None:
        """The inner step: loss and anchors, backward, and the optimiser between the rules."""
        loss = sum((objective(step) for objective in self.method.objectives), start=step.zero)
        check_finite(loss, step)
        if loss.requires_grad:
            optimizer.zero_grad()
            self.fabric.backward(loss)
            with edited(self.method.rules, self.learner, step):
                optimizer.step()
        totals.add(step.records, loss)

    def _consolidate(self, task: Task) -> None:
        """The fixed order when a task ends: terms, rules, memory, readouts; then the past network."""
        for part in (*self.method.terms, *self.method.rules):
            part.consolidate(self.learner, task)
        generator = generator_of(self.fabric.device, self.seed, "memory", task.index)
        self.memory.consolidate(self.learner, task, generator)
        lesson = Lesson(self.learner, task, self.memory, self.seen, self.before)
        for readout in self.readouts.values():
            readout.fit(lesson)
        if any(term.needs_past for term in self.method.terms):
            self.past = self.learner.freeze(self.model.past_mode)
        if any(readout.needs_past for readout in self.readouts.values()):
            shared = self.past if self.model.past_mode == "eval" else None
            self.before = shared or self.learner.freeze()
        kept = self._kept() | self.readouts | {"learner": self.learner, "past": self.past}
        forbid_images(kept, task.train, str(self.protocol), self.given)
        if self.protocol.kind == "strict":
            forbid_images({"memory": self.memory}, task.train, "strict")

    def _kept(self) -> dict[str, object]:
        """What of the method outlives a task, the learner and the declared memory apart."""
        parts: dict[str, object] = {}
        for part in (*self.method.terms, *self.method.objectives, *self.method.rules):
            name = type(part).__name__
            parts[f"{name} {len(parts) + 1}" if name in parts else name] = part
        return parts | {self.readout: self.readouts[self.readout]}
