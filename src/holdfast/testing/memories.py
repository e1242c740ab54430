"""The laws of a memory: what is stored, and how it comes back."""

from __future__ import annotations

import copy
from typing import Any

import torch

from holdfast.core.output import Output
from holdfast.core.rows import Rows
from holdfast.memory.memory import Memory
from holdfast.stream.task import Task
from holdfast.testing.bench import Bench
from holdfast.testing.compare import (
    copies,
    difference,
    expect,
    global_chance_untouched,
    through_disk,
    weights,
)
from holdfast.testing.forgetting import forgets_samples

BATCH = 12


def check_memory(memory: Memory) -> None:
    """Check a memory on a small stream.

    It never holds more than its capacity, nor a row that did not come, and every row keeps its label; the
    same generator gives the same rows and leaves the global ones alone; what comes back has the
    size that was asked for; a capacity of one is enough; its state goes through a file into a fresh
    copy that draws the same rows; it can be pickled and copied; it leaves the network alone; it drops
    the samples that it is told to, and no others.

    Args:
        memory: empty; copies are used.

    Raises:
        AssertionError: naming the law that does not hold.
    """
    name = type(memory).__name__
    with global_chance_untouched(name):
        first, second = _filled(memory, name), _filled(memory, name)
    place = difference(_content(first), _content(second))
    expect(not place, f"{name} keeps other rows with the same generator: {place}.")
    if memory.capacity:
        _filled(_with_capacity(memory, 1), name)
    _returns(first, name)
    forgets_samples(first, name)
    fresh = copy.deepcopy(memory)
    fresh.load_state_dict(through_disk(dict(first.state_dict()), name))
    for words, twin in [("its state in a fresh copy", fresh), *copies(first, name)]:
        pair = [_drawn(copy.deepcopy(each)) for each in (first, twin)]
        place = difference(*pair)
        expect(not place, f"{name} gives other rows after {words}: {place}.")
        pair = [_content(_taught(copy.deepcopy(each), 2)) for each in (first, twin)]
        place = difference(*pair)
        expect(not place, f"{name} keeps other rows of the next task after {words}: {place}.")


def _with_capacity(memory: Memory, capacity: int) -> Memory:
    memory = copy.deepcopy(memory)
    memory.capacity = capacity
    return memory


def _generator(*place: int) -> torch.Generator:
    return torch.Generator().manual_seed(sum(n * 101**i for i, n in enumerate(place)))


def _taught(memory: Memory, index: int) -> Memory:
    """A task's two epochs and its end."""
    bench = Bench()
    task = bench.stream[index]
    chance = _generator(index)
    for epoch in range(2):
        for rows in memory.pooled(task.train).batches(BATCH):
            fresh = rows[rows.task == index]
            memory.mixed(rows, chance)
            memory.drawn(len(rows), chance)
            memory.observe(fresh, epoch, chance, _noted(bench, fresh) if memory.columns else None)
    before = weights(bench.learner)
    memory.consolidate(bench.learner, task, chance)
    place = difference(before, weights(bench.learner))
    expect(not place, f"{type(memory).__name__} moves the network, at {place}.")
    return memory


def _noted(bench: Bench, rows: Rows) -> Output:
    with torch.no_grad():
        return bench.past(rows.x.float() / 255)


def _filled(memory: Memory, name: str) -> Memory:
    """A copy that has seen two tasks."""
    memory, came = copy.deepcopy(memory), Bench().stream
    for index in range(2):
        _taught(memory, index)
        limit = memory.capacity
        expect(
            limit is None or len(memory) <= limit,
            f"{name} holds {len(memory)} rows and may hold {limit}.",
        )
        _honest(memory, came.tasks[: index + 1], name)
    return memory


def _honest(memory: Memory, tasks: tuple[Task, ...], name: str) -> None:
    """Every stored row came, with this label and task."""
    if memory.rows is None:
        return
    rows = memory.rows
    expect(rows.images == len(rows), f"{name} stores one sample twice.")
    for i in range(len(rows)):
        train = tasks[int(rows.task[i])].train
        place = (train.key == rows.key[i]).nonzero()[:, 0]
        expect(len(place) == 1, f"{name} stores a row that never came: key {int(rows.key[i])}.")
        expect(
            bool(train.y[place] == rows.y[i]) and bool(torch.equal(train.x[place[0]], rows.x[i])),
            f"{name} stores the sample {int(rows.key[i])} with another label or input.",
        )


def _content(memory: Memory) -> Any:
    rows = memory.rows
    return None if rows is None else [rows.x, rows.y, rows.task, rows.key, dict(rows.extra)]


def _drawn(memory: Memory) -> Any:
    """All that comes back for one step."""
    task = Bench().stream[2]
    parts = memory.drawn(BATCH, _generator(9)) | {
        "mixed": memory.mixed(task.train[slice(0, BATCH)], _generator(8)),
        "pooled": memory.pooled(task.train),
    }
    return {name: [rows.x, rows.y, rows.key, dict(rows.extra)] for name, rows in parts.items()}


def _returns(memory: Memory, name: str) -> None:
    task, use, full = Bench().stream[2], memory.use, len(memory) > 0
    drawn = memory.drawn(BATCH, _generator(1))
    expect(
        bool(drawn) == (use == "draw" and full), f"{name} draws parts exactly if its use is draw."
    )
    for part, rows in drawn.items():
        expect(len(rows) == BATCH, f"{name} draws {len(rows)} rows for {part}, not {BATCH}.")
    batch = task.train[slice(0, BATCH)]
    due = 2 * BATCH if use == "mix" and full else BATCH
    mixed = len(memory.mixed(batch, _generator(1)))
    expect(mixed == due, f"{name} mixes a batch of {BATCH} into {mixed} rows, not {due}.")
    pooled, due = len(memory.pooled(task.train)), len(task.train)
    due += len(memory) if use == "pool" else 0
    expect(pooled == due, f"{name} makes a pool of {pooled} rows, not {due}.")
