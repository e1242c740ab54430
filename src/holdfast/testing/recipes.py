"""The laws of a recipe: what a method does in a run, whatever it is made of."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Iterable
from dataclasses import replace

import torch

from holdfast.memory.protocol import Protocol
from holdfast.recipes.method import Method
from holdfast.stream.split import class_incremental, domain_incremental
from holdfast.testing.budget import forward_budget
from holdfast.testing.compare import difference, weights
from holdfast.testing.norms import norms_stay_where_held
from holdfast.testing.streams import CLASSES, TASKS, small_source, small_stream, vectors
from holdfast.testing.subject import Subject
from holdfast.testing.watched import (
    CLOCK,
    finished,
    learned,
    place_of,
)
from holdfast.train.identity import described
from holdfast.train.runner import Run


def a_method_is_a_value(subject: Subject) -> None:
    """Pickles and deep copies have the same settings, and a run leaves the method as it was."""
    method = subject.method
    before, states = described(method), states_of(method)
    for twin in (copy.deepcopy(method), pickle.loads(pickle.dumps(method))):
        place = difference(before, described(twin))
        subject.expect(not place, f"a copy of the method differs in {place}")
    learned(method, subject.stream or small_stream(each=2), subject.setup)
    place = difference(before, described(method)) or difference(states, states_of(method))
    subject.expect(not place, f"a run changed the method it was given, in {place}")


def states_of(method: Method) -> list[object]:
    """What its parts have kept."""
    return [weights(part) for part in (*method.objectives, *method.rules, method.memory)]


def same_seed_same_bits(subject: Subject) -> None:
    """Twice the same seed gives the same state after every event, whatever the global generators are."""
    last = subject.watched.states[-1]
    for disturbance in (123, 456):
        torch.manual_seed(disturbance)
        again = finished(subject.watched.fresh()).state()
        place = difference(last, again, CLOCK)
        subject.expect(not place, f"the same seed gives another {place}")


def another_seed_other_weights(subject: Subject) -> None:
    """The seed reaches the weights that are trained."""
    if not subject.method.trains(0):
        return  # it has no weights of its own
    other = weights(finished(subject.watched.fresh(seed=subject.setup.seed + 1)).learner)
    same = not difference(subject.watched.states[-1]["learner"], other)
    subject.expect(not same, "another seed gives the same weights")


def resume_is_uninterrupted(subject: Subject) -> None:
    """From every point where a checkpoint can stand, through the disk, into a fresh run, the next
    event leaves the same state, bit for bit: by induction so does every later one.
    """
    watched = subject.watched
    for place, state in enumerate(watched.states[:-1]):
        run = watched.fresh()
        run.restore(state)
        event = next(iter(run.events()))
        words = f"resumed after {watched.events[place]}"
        subject.expect(
            place_of(event) == watched.events[place + 1], f"{words}, {place_of(event)} came"
        )
        differs = difference(watched.states[place + 1], run.state(), CLOCK)
        subject.expect(not differs, f"{words}, {place_of(event)} has another {differs}")
    last = watched.fresh()
    last.restore(watched.states[-1])
    subject.expect(not list(last.events()), "a finished run that is resumed learns on")


def resume_goes_on_to_the_end(subject: Subject) -> None:
    """Resumed after the first epoch of the second task, the whole rest is the same."""
    watched = subject.watched
    run = watched.fresh()
    first = "epoch 1 of task 2" if subject.method.trains(1) else "the end of task 1"
    run.restore(watched.states[watched.events.index(first)])
    place = difference(watched.states[-1], finished(run).state(), CLOCK)
    subject.expect(not place, f"a run resumed in task 2 ends with another {place}")


def past_network_unchanged(subject: Subject) -> None:
    """The past network is the same throughout a task, and the learner as it was before it."""
    watched, before = subject.watched, None
    needs = any(term.needs_past for term in subject.method.terms)
    for words, state in zip(watched.events, watched.states):
        if "end" not in words and before is not None:
            place = difference(before, state["past"])
            subject.expect(not place, f"the past network changed in {words}, at {place}")
        if "end" in words:
            before = state["past"]
            subject.expect(
                (before is not None) == needs, "a past network is kept exactly if a term asks it"
            )
            usual = subject.setup.network.past_mode == "eval" and subject.method.past is None
            if before is not None and usual:
                place = difference(state["learner"], before)
                subject.expect(
                    not place, f"after {words} the past network is not the learner: {place}"
                )


def figures_are_sound(subject: Subject) -> None:
    """A run completes, every number is finite, and Task-IL is never below Class-IL."""
    subject.complete(subject.watched.run, "a small stream")
    subject.expect(len(subject.watched.result.tasks) == TASKS, "a task has no note")
    for name, reading in subject.watched.result.readings.items():
        for i in range(TASKS):
            gap = (reading.task_il.matrix[i] - reading.class_il.matrix[i])[: i + 1]
            subject.expect(
                bool((gap >= 0).all()), f"Task-IL of {name} is below Class-IL in task {i + 1}"
            )


def further_readouts_disturb_nothing(subject: Subject) -> None:
    """The reported readout and the weights are the same without any further one."""
    alone = finished(subject.watched.fresh(also=())).result
    result = subject.watched.result
    subject.expect(alone.readout == result.readout, "a further readout changed the reported one")
    for which in ("class_il", "task_il"):
        pair = (getattr(each, which).matrix for each in (alone, result))
        subject.expect(
            not difference(*pair), f"a further readout changed {which} of the reported one"
        )


def storage_as_declared(subject: Subject) -> None:
    """Strict stores no image and trains alike where images are for the readout alone; a buffer holds
    what it may and never more.
    """
    kind = subject.method.protocol.kind
    images = [note.holdings.images for note in subject.watched.result.tasks]
    if kind == "strict":
        subject.expect(
            images == [0] * TASKS, f"the protocol strict ends its tasks with {images} images"
        )
        setup = replace(subject.setup, protocol=Protocol("auxiliary", 8))
        other = learned(subject.watched.method, small_stream(), setup)
        place = difference(subject.watched.states[-1]["learner"], weights(other.learner))
        subject.expect(not place, "images that are for the readout alone reach the network")
        subject.expect(
            [note.holdings.images for note in other.result.tasks] == [8] * TASKS,
            "the protocol auxiliary(8) does not keep 8 images",
        )
    if kind == "joint":
        return
    for size in (1, 7):
        setup = replace(subject.setup, protocol=Protocol("buffer", size))
        run = Run(subject.build(), small_stream(), setup)
        most = max(len(run.continual.memory) for _ in run.events())
        subject.expect(most <= size, f"a buffer of {size} holds {most} images")
        kept = [note.holdings.images for note in run.result.tasks]
        subject.expect(kept == [size] * TASKS, f"a buffer of {size} ends its tasks with {kept}")


def streams_of_every_kind(subject: Subject) -> None:
    """A batch larger than a task, one image a class, one row a step, feature vectors, classes that come
    again, and (where the method does not refuse it) tasks of one class.
    """
    setup, build = subject.setup, subject.build
    large, single, once = (
        replace(setup, training=replace(setup.training, **change))
        for change in ({"batch": 10_000}, {"batch": 1}, {"epochs": 1})
    )
    subject.complete(learned(build(), small_stream(), large), "a batch larger than a task")
    subject.complete(learned(build(), small_stream(each=1), setup), "one image a class")
    subject.complete(learned(build(), small_stream(each=1), single), "one row a step")
    run = learned(build(), small_stream(vectors), replace(setup, also=("gaussian",)))
    subject.complete(run, "a stream of feature vectors")
    first = float(run.result.readings["gaussian"].class_il.matrix[0, 0])
    subject.expect(first > 0.7, "two clouds of feature vectors are told apart")
    again = learned(build(), domain_incremental(small_source(), 2), setup)
    subject.complete(again, "classes that come again")
    pair = (again.result.class_il.matrix, again.result.task_il.matrix)
    subject.expect(not difference(*pair), "where tasks have all classes, Task-IL is Class-IL")
    if any(term.needs_rivals for term in subject.method.terms):
        once = replace(once, readout="gaussian")  # a head learns nothing from a class alone
    run = learned(build(), class_incremental(small_source(), CLASSES), once)
    subject.complete(run, "tasks of one class")
    alone = run.result.task_il.matrix.diagonal()
    subject.expect(bool((alone == 1).all()), "a class alone in its task is always right")


RECIPE_LAWS: dict[str, Callable[[Subject], None]] = {
    law.__name__: law
    for law in (
        a_method_is_a_value,
        same_seed_same_bits,
        another_seed_other_weights,
        resume_is_uninterrupted,
        resume_goes_on_to_the_end,
        forward_budget,
        past_network_unchanged,
        norms_stay_where_held,
        figures_are_sound,
        further_readouts_disturb_nothing,
        storage_as_declared,
        streams_of_every_kind,
    )
}


def check_recipe(
    recipe: str | Callable[[], Method] | Method | Subject, laws: Iterable[str] = tuple(RECIPE_LAWS)
) -> None:
    """Run a recipe on a small stream, on the CPU, and check the laws of every method.

    Args:
        recipe: its text (``lwf:T=4``), a function that returns a method, or a method; or a `Subject`,
            whose one watched run several calls share.
        laws: names of `RECIPE_LAWS`; by default all.

    Raises:
        AssertionError: naming the law that does not hold, and where.
    """
    subject = recipe if isinstance(recipe, Subject) else Subject(recipe)
    for law in laws:
        RECIPE_LAWS[law](subject)
