"""The one loop: it alone touches the optimiser, and it enforces the protocol.

stream -> rows -> step -> loss + anchors -> update -> readout -> accuracy matrix
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import torch
from torch import Tensor

from holdfast.anchor.rule import edited
from holdfast.chance import generator_of, seed_of
from holdfast.events import Epoch, Event, TaskDone
from holdfast.learner.learner import Learner, Output, outputs
from holdfast.ledger import Totals, check_finite, check_weights
from holdfast.memory.memory import pick
from holdfast.memory.meter import forbid_images, measure
from holdfast.memory.protocol import Protocol
from holdfast.method import Method, given_rows, make_readout
from holdfast.metrics.accuracy import accuracies
from holdfast.readout.readout import Lesson, Readout
from holdfast.result import Result, TaskNote, peak_memory
from holdfast.resume import Place, State, identity_of, recall, restore, state_of
from holdfast.settings import Machine, Model, Training
from holdfast.step import Forward, Step
from holdfast.stream.augment import Augment, to_float, views
from holdfast.stream.rows import Rows
from holdfast.stream.sets import suited
from holdfast.stream.task import Stream, Task


def run(
    method: Method,
    stream: Stream,
    training: Training = Training(),
    *,
    protocol: Protocol | None = None,
    readout: str | Readout = "auto",
    also: Sequence[str] = (),
    model: Model = Model(),
    machine: Machine = Machine(),
    augment: Augment | None = None,
    seed: int = 0,
    config: Mapping[str, object] | None = None,
    watch: Callable[[Event], None] = lambda event: None,
) -> Result:
    """Learn a stream with a method and say what was kept.

    Args:
        method: what to do; a copy is used, so it can be run again.
        stream: the tasks.
        training: epochs, batch size and optimiser settings.
        protocol: what may be stored; None takes the method's own.
        readout: by name, or one of your own, of which a copy is used.
        also: further readouts to read the same network with, by name.
        model: the network.
        machine: device and precision.
        augment: the random views; None chooses by the inputs' shape and the method's views.
        seed: of weights, batches and views; same seed, same machine: same bits.
        config: more to note in the result.
        watch: called with every `Epoch` and `TaskDone`.

    Raises:
        ConfigError: for parts that do not fit together.
        ProtocolError: when a part keeps images that the protocol does not allow.
        DivergedError: when a loss term stops being finite; what earlier events showed stays valid.
    """
    work = Work(method, stream, training, protocol, readout, also, model, machine, augment, seed)
    work.result.config = work.settings | dict(config or {})
    for event in work.learn():
        watch(event)
    return work.result


class Work:
    """One run in progress: `learn` yields its events. The arguments are those of `run`."""

    def __init__(
        self,
        method: Method,
        stream: Stream,
        training: Training = Training(),
        protocol: Protocol | None = None,
        readout: str | Readout = "auto",
        also: Sequence[str] = (),
        model: Model = Model(),
        machine: Machine = Machine(),
        augment: Augment | None = None,
        seed: int = 0,
    ):
        self.method = method = copy.deepcopy(method)
        self.stream, self.training, self.model, self.seed = stream, training, model, seed
        self.protocol = protocol or method.protocol
        self.given = given_rows(method)
        self.memory = self.protocol.memory(method.memory, self.given)
        named = isinstance(readout, str)
        main = make_readout(readout, method, self.protocol) if named else copy.deepcopy(readout)
        others = [make_readout(name, method, self.protocol) for name in also if name != main.name]
        self.readouts = {r.name: r for r in (main, *others)}
        classes = max(stream.seen(len(stream) - 1)) + 1
        if method.frame is not None:
            method.frame.require(classes)
        self.augment = augment or suited(stream.shape, method.views)
        self.fabric = machine.fabric()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            head = classes if any(term.whole_head for term in method.terms) else 0
            self.learner = Learner(stream.shape, model.backbone, model.width, method.dim, head)
        for part in (self.learner, *method.objectives, *method.rules, *self.readouts.values()):
            self.fabric.to_device(part)
        self.learner.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.past: Learner | None = None  # as the terms see it, in the model's past_mode
        self.before: Learner | None = None  # the same weights, as the readouts read them
        protocols = {
            n: self.protocol if r.uses_images else self.protocol.unread
            for n, r in self.readouts.items()
        }
        self.result = Result.blank(method.name, str(self.protocol), main.name, protocols, stream)
        self.settings = {
            "method_protocol": str(self.protocol),
            "training": asdict(training),
            "model": asdict(model),
            "machine": asdict(machine),
            "augment": asdict(self.augment),
            "seed": seed,
        }
        self.identity = identity_of(self)
        self.place, self.started, self.spent = Place(), 0.0, 0.0
        self.optimizer: torch.optim.Optimizer | None = None  # of the task that is being learned
        self.momenta: State | None = None  # what it is given when a task is resumed

    def state(self) -> State:
        """All that this run is made of, as plain data; to be asked between two events."""
        return state_of(self)

    def restore(self, state: State) -> None:
        """Go on where a state was taken, bit for bit; for a run made from the same arguments.

        Raises:
            ConfigError: for the state of another run, naming what differs.
        """
        restore(self, state)

    def learn(self) -> Iterator[Event]:
        """Learn task after task, from where the run stands."""
        for task in self.stream.tasks[self.place.task :]:
            self.started = time.perf_counter() - self.spent
            task = replace(task, train=task.train.to(self.fabric.device))
            if task.index == 0:
                self.learner.normalise_by(to_float(task.train.x))
            with torch.random.fork_rng():
                torch.manual_seed(seed_of(self.seed, "head", task.index))
                self.learner.head.grow(max(self.stream.seen(task.index)) + 1)
            yield from self._epochs(task)
            check_weights(self.learner, task)
            self._consolidate(task)
            self._evaluate(task)
            self._note(task, time.perf_counter() - self.started)
            self.place, self.spent, self.optimizer = Place(task.index + 1), 0.0, None
            yield TaskDone(task.index, self.learner, self.result)

    def _epochs(self, task: Task) -> Iterator[Epoch]:
        """The epochs of a task that are left, each with randomness of its own, from its place."""
        self.learner.train()
        optimizer = self.method.optimizer(self.learner.parameters(), self.training)
        if self.momenta is not None:
            recall(optimizer, self.momenta)
        self.momenta, self.optimizer = None, optimizer
        model, optimizer = self.fabric.setup(self.learner, optimizer)
        epochs = self.training.epochs_of(task.index)
        pool = self.memory.pooled(task.train)
        for epoch in range(self.place.epochs, epochs):
            generator = generator_of(self.fabric.device, self.seed, "epoch", task.index, epoch)
            started, totals, lr = time.perf_counter(), Totals(self.method.penalties), 0.0
            order = torch.randperm(len(pool), generator=generator, device=self.fabric.device)
            batches = order.tensor_split(-(-len(pool) // self.training.batch))
            for number, index in enumerate(batches):
                lr = self.training.lr_at(epoch + (number + 0.5) / len(batches), epochs)
                for group in optimizer.param_groups:
                    group["lr"] = lr
                at = {"epoch": epoch, "lr": lr, "size": len(pool)}
                step = self._step(pool[index], task, at, model, generator)
                self._update(step, optimizer, totals)
                fresh = (pool.task[index] == task.index).nonzero()[:, 0]
                out = step["batch"].out.rows(fresh) if self.memory.columns else None
                self.memory.observe(pool[index[fresh]], epoch, generator, out)
            seconds = time.perf_counter() - started
            self.place = Place(task.index, epoch + 1)
            where = (task.index, len(self.stream), epoch, epochs)
            yield Epoch(*where, totals.means(), lr, len(pool) / seconds, seconds)

    def _step(
        self,
        rows: Rows,
        task: Task,
        at: Mapping[str, Any],
        forward: Forward,
        generator: torch.Generator,
    ) -> Step:
        """What one update sees: the batch and the memory's draws, as views.

        ``at`` is its place within the task: epoch, learning rate, and how many images an epoch has.
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
        seen, epochs = self.stream.seen(task.index), self.training.epochs_of(task.index)
        known = self.stream.seen(task.index - 1) if task.index else ()
        return Step(
            parts, forward, past, task.index, task.classes, seen,
            epochs=epochs, known=known, learner=self.learner, **at,
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
        seen = self.stream.seen(task.index)
        lesson = Lesson(self.learner, task, self.memory, seen, self.before)
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
        return parts | {self.result.readout: self.readouts[self.result.readout]}

    def _evaluate(self, task: Task) -> None:
        """Fill row i of every accuracy matrix; each test set is passed through the network once."""
        for j, other in enumerate(self.stream.tasks[: task.index + 1]):
            test = other.test.to(self.fabric.device)
            out = outputs(self.learner, test)
            for name, readout in self.readouts.items():
                pair = accuracies(readout.scores(out), test.y, other.classes)
                reading = self.result.readings[name]
                reading.class_il.matrix[task.index, j], reading.task_il.matrix[task.index, j] = pair

    def _note(self, task: Task, seconds: float) -> None:
        held = measure(self._kept() | {"memory": self.memory}, self.past or self.before)
        names = [self.stream.names[c] for c in task.classes]
        epochs, peak = self.training.epochs_of(task.index), peak_memory(self.fabric.device)
        self.result.tasks.append(
            TaskNote(names, len(task.train), epochs, round(seconds, 3), peak, held)
        )
        if task.index == len(self.stream) - 1:
            self.result.status = "complete"
