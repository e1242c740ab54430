"""The laws of a readout: how classes are decided."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from holdfast.core.output import Output, outputs
from holdfast.learner.prototype import Frame
from holdfast.memory.memory import ClassBalanced, Memory, NoMemory
from holdfast.readout import build_readout
from holdfast.readout.contexts import FitContext
from holdfast.readout.readout import Readout
from holdfast.stream.task import Task
from holdfast.testing.bench import Bench
from holdfast.testing.compare import (
    difference,
    expect,
    global_chance_untouched,
    keeps_no_image,
    through_disk,
    weights,
)
from holdfast.testing.forgetting import forgets_rows
from holdfast.testing.weighing import weighed_task

DIM = 16


def check_readout(readout: Readout | str) -> None:
    """Check a readout on the features of a small network.

    After each task its scores are (N, K) finite numbers for the K classes seen, its probabilities sum
    to 1, and scores of rows do not depend on the rows beside them; a class that comes again is taken
    in; one example of a class is enough; equal examples are enough; it keeps no image unless it says
    that it uses them; it leaves the network and the global generators alone; the same task fits the
    same scores, also where its rows weigh 1 each; its state goes through a file into a fresh copy with the
    same scores, which takes in the next task alike; it can be pickled and copied; without rows that it
    forgets it is as if fitted without them, or it refuses.

    Args:
        readout: one that has learned nothing (copies are used), or its text (``gaussian:embedding``).

    Raises:
        AssertionError: naming the law that does not hold.
    """
    bench = Bench(DIM)
    fresh = build_readout(readout, Frame(DIM)) if isinstance(readout, str) else readout
    fresh = copy.deepcopy(fresh)
    name = fresh.name
    fitted, before = copy.deepcopy(fresh), weights(bench.learner)
    with global_chance_untouched(f"the readout {name}"):
        for index in range(2):
            fit(fitted, bench, bench.stream[index], bench.stream.seen(index))
            if not index:
                forgets_rows(fitted, bench, bench.stream[0], name)
            _sound(fitted, bench, len(bench.stream.seen(index)), name)
    place = difference(before, weights(bench.learner))
    expect(not place, f"the readout {name} moves the network, at {place}.")
    if not fresh.uses_images:
        for task in bench.stream.tasks[:2]:
            keeps_no_image({f"the readout {name}": fitted}, task.train)
    _repeatable(fresh, fitted, bench, name)
    _round_trip(fresh, fitted, bench, name)
    _few_rows(fresh, bench, name)
    _again(fitted, bench, name)


def fit(
    readout: Readout, bench: Bench, task: Task, seen: Sequence[int], memory: Memory | None = None
) -> None:
    """Let a readout take in a task; one that uses images is given a memory of the tasks seen."""
    if memory is None:
        memory = NoMemory()
        if readout.uses_images:
            memory = ClassBalanced(24, use="readout")
            chance = torch.Generator().manual_seed(5)
            for earlier in (*bench.stream.tasks[: task.index], task):
                memory.consolidate(bench.learner, earlier, chance)
    past = bench.past if task.index and readout.needs_past else None
    readout.fit(FitContext(bench.learner, task, memory, tuple(sorted(seen)), past))


def _out(bench: Bench) -> Output:
    rows = [task.test for task in bench.stream]
    return outputs(bench.learner, replace(rows[0], **_columns(rows)))


def _columns(rows: list) -> dict[str, Tensor]:
    return {n: torch.cat([getattr(r, n) for r in rows]) for n in ("x", "y", "task", "key")}


@torch.no_grad()
def _scores(readout: Readout, bench: Bench) -> Tensor:
    return readout.scores(_out(bench))


@torch.no_grad()
def _sound(readout: Readout, bench: Bench, classes: int, name: str) -> None:
    out = _out(bench)
    scores = readout.scores(out)
    shape = (len(out.features), classes)
    expect(
        tuple(scores.shape) == shape,
        f"the readout {name} gives scores of shape {tuple(scores.shape)}, not {shape}.",
    )
    expect(bool(scores.isfinite().all()), f"the readout {name} gives a score that is not finite.")
    total = readout.probabilities(out).double().sum(1)
    expect(bool(((total - 1).abs() < 1e-5).all()), f"the probabilities of {name} must sum to 1.")
    alone = readout.scores(out.rows(torch.tensor([3])))
    gap = float((alone[0].double() - scores[3].double()).abs().max())
    expect(
        gap <= 1e-4 * float(scores[3].abs().max()) + 1e-6,
        f"the readout {name} scores a row alone otherwise than among others.",
    )


def _repeatable(fresh: Readout, fitted: Readout, bench: Bench, name: str) -> None:
    again = copy.deepcopy(fresh)
    for index in range(2):
        fit(again, bench, bench.stream[index], bench.stream.seen(index))
    place = difference(_scores(fitted, bench), _scores(again, bench))
    expect(not place, f"the readout {name} says something else after the same tasks.")
    twins = copy.deepcopy(fresh), copy.deepcopy(fresh)
    for twin, task in zip(twins, (bench.stream[0], weighed_task(bench.stream[0]))):
        fit(twin, bench, task, bench.stream.seen(0))
    first, second = (_scores(twin, bench) for twin in twins)
    place = difference(first, second)
    expect(not place, f"the readout {name} says something else of rows that weigh 1 each.")


def _round_trip(fresh: Readout, fitted: Readout, bench: Bench, name: str) -> None:
    state = through_disk(dict(fitted.state_dict()), f"the readout {name}")
    loaded = copy.deepcopy(fresh)
    loaded.load_state_dict(state)
    used = copy.deepcopy(fresh)  # one that has learned something else before it is loaded
    fit(used, bench, bench.stream[0], bench.stream.seen(0))
    _scores(used, bench)
    used.load_state_dict(state)
    twins = {
        "its state in a fresh copy": loaded,
        "its state in a used copy": used,
        "a pickle": pickle.loads(pickle.dumps(fitted)),
        "a deep copy": copy.deepcopy(fitted),
    }
    last = bench.stream[2]
    for words, twin in twins.items():
        same = torch.equal(_scores(twin, bench), _scores(fitted, bench))
        expect(same, f"the readout {name} scores otherwise after {words}.")
        same = twin.temperature == fitted.temperature
        expect(same, f"the readout {name} has another temperature after {words}.")
        pair = copy.deepcopy(fitted), copy.deepcopy(twin)
        for each in pair:
            fit(each, bench, last, bench.stream.seen(2))
        same = torch.equal(*(_scores(each, bench) for each in pair))
        expect(same, f"the readout {name} takes in the next task otherwise after {words}.")


def _few_rows(fresh: Readout, bench: Bench, name: str) -> None:
    """One example a class; then equal examples of one class alone."""
    readout = copy.deepcopy(fresh)
    task = bench.stream[0]
    first = torch.stack([(task.train.y == c).nonzero()[0, 0] for c in task.classes])
    fit(readout, bench, replace(task, train=task.train[first]), task.classes)
    _sound(readout, bench, 2, name)
    second = bench.stream[1]
    rows = second.train[torch.zeros(4, dtype=torch.long)]
    lone = replace(second, train=rows, classes=(int(rows.y[0]),))
    fit(readout, bench, lone, (*task.classes, *lone.classes))
    _sound(readout, bench, 1 + int(rows.y[0]), name)


def _again(fitted: Readout, bench: Bench, name: str) -> None:
    """Both classes of the first task come again beside new ones."""
    readout = copy.deepcopy(fitted)
    old, new = bench.stream[0].train, bench.stream[2].train
    rows = replace(new, **_columns([old[slice(None, None, 2)], new]))
    rows = replace(rows, task=torch.full_like(rows.task, 2))
    task = replace(bench.stream[2], train=rows, classes=(0, 1, 4, 5))
    fit(readout, bench, task, range(6))
    _sound(readout, bench, 6, name)
