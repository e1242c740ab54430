"""The laws of a network with a state a task: what a task has learned is asked for again, to the bit."""

from __future__ import annotations

import copy

from holdfast.core.output import Output, outputs
from holdfast.learner.states import under
from holdfast.recipes.method import Method
from holdfast.testing.compare import difference, expect, through_disk, weights
from holdfast.testing.streams import CLASSES, TASKS, small_stream
from holdfast.testing.watched import QUICK
from holdfast.train.continual import Continual
from holdfast.train.setup import Setup


def check_states(method: Method, setup: Setup = QUICK) -> None:
    """Check a method under which each task has a state of its own, on a small stream.

    Under the state of a task the network says of its rows, bit for bit, what it said when the task ended,
    after every later task, and from a file in a fresh learner; asking it leaves the network as it was. By a
    readout that asks states, Task-IL accuracies of a task never change.

    Args:
        method: a copy is used.
        setup: how it goes.

    Raises:
        AssertionError: naming the law that does not hold.
    """
    stream = small_stream()
    core = Continual(copy.deepcopy(method), stream.shape, setup, CLASSES)
    then: list[Output] = []
    tasks: list[list[int]] = [[] for _ in range(TASKS)]
    for task in stream:
        core.learn(task)
        states = core.learner.states
        count = 0 if states is None else len(states)
        expect(
            count == task.index + 1,
            f"{method.name} keeps {count} states of {task.index + 1} tasks.",
        )
        then.append(outputs(core.learner, task.test))
        before = weights(core.learner)
        _as_then(core, then, method.name)
        for old in stream.tasks[: task.index + 1]:
            scores = core.scores(old.test.x)[:, list(old.classes)]
            tasks[old.index].append(int((scores.argmax(1) + old.classes[0] == old.test.y).sum()))
        place = difference(before, weights(core.learner))
        expect(not place, f"asking {method.name} under its states changes {place}.")
    if core.readouts[core.readout].needs_states:
        for index, right in enumerate(tasks):
            expect(len(set(right)) == 1, f"Task-IL of task {index + 1} changes: {right} are right.")
    fresh = Continual(copy.deepcopy(method), stream.shape, setup, CLASSES)
    fresh.restore(through_disk(core.state(), method.name))
    _as_then(fresh, then, f"{method.name} from a file")


def _as_then(core: Continual, then: list[Output], name: str) -> None:
    stream = small_stream()
    for index, expected in enumerate(then):
        with under(core.learner, index):
            now = outputs(core.learner, stream[index].test)
        classes = expected.logits.shape[1]
        pairs = {
            "features": (now.features, expected.features),
            "embedding": (now.embedding, expected.embedding),
            "logits": (now.logits[:, :classes], expected.logits),
        }
        for column, pair in pairs.items():  # a wider head rounds otherwise
            place = difference(*pair, within=1e-6 if column == "logits" else 0.0)
            expect(not place, f"{name} has other {column} of task {index + 1} under its state.")
