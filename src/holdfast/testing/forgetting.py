"""The laws of forgetting: a readout without some of its rows, and a memory without some of its samples."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from holdfast.core.errors import ConfigError
from holdfast.core.output import outputs
from holdfast.memory.memory import Memory
from holdfast.readout.readout import Readout
from holdfast.readout.streaming import Streaming
from holdfast.statistics.class_statistics import Statistics
from holdfast.stream.task import Task
from holdfast.testing.bench import Bench
from holdfast.testing.compare import expect, through_disk

CLOSE = 1e-8  # of the largest score


@torch.no_grad()
def forgets_rows(fitted: Readout, bench: Bench, task: Task, name: str) -> None:
    """A readout that forgets a third of a task is as if fitted without; one that cannot says so.

    What was chosen with the rows stays as it is on both sides. It says what that was.

    Args:
        fitted: that has learned this task alone; a copy is used.
        bench: of the network.
        task: that was learned.
        name: of the readout.

    Raises:
        AssertionError: if it is another.
    """
    readout, train = copy.deepcopy(fitted), task.train
    gone = torch.arange(len(train)) % 3 == 1
    before = through_disk(dict(readout.state_dict()), name)
    try:
        chosen = readout.forget(outputs(bench.learner, train[gone]), train.y[gone])
    except ConfigError:
        after = readout.state_dict()
        same = [_equal(before[key], after[key]) for key in before]
        expect(all(same), f"the readout {name} refuses to forget, and has changed all the same.")
        return
    out = outputs(bench.learner, train)
    if not isinstance(readout, Streaming):  # nothing is known of what it chooses
        expect(isinstance(chosen, dict), f"the readout {name} does not say what was chosen.")
        return
    missing = [choice for choice in readout.choices if choice not in chosen]
    expect(not missing, f"the readout {name} does not say of {missing[:1]} that it was chosen.")
    x, y = readout.read(out), train.y
    twin = copy.deepcopy(fitted)
    assert isinstance(twin, Streaming)
    tracker = twin.tracker
    empty = Statistics.empty(x.shape[1], tracker.structure, tracker.rank, x)
    tracker.statistics = empty.add(x[~gone], y[~gone], len(readout.known.count))
    twin.forget_decision()
    scored, expected = readout.decision(x), twin.decision(x)
    size = float(expected[expected.isfinite()].abs().max())
    gap = float((scored - expected).nan_to_num(0, 0, 0).abs().max())
    expect(
        gap <= CLOSE * max(size, 1.0),
        f"the readout {name} scores by {gap:.1e} otherwise than one that never had the rows.",
    )


def forgets_samples(memory: Memory, name: str) -> None:
    """A memory drops the samples it is told to and no others, says how many it had, and may be asked twice.

    Args:
        memory: that has seen two tasks; a copy is used.
        name: of the memory.

    Raises:
        AssertionError: if it does otherwise.
    """
    memory = copy.deepcopy(memory)
    keys = torch.tensor([10**6]) if memory.rows is None else memory.rows.key
    gone = torch.cat([keys[::2], torch.tensor([10**6 + 1])])
    there = int(torch.isin(keys, gone).sum()) if memory.rows is not None else 0
    stay = [key for key in keys.tolist() if key not in gone.tolist()] if memory.rows else []
    count = memory.drop(gone)
    expect(count == there, f"{name} says that it dropped {count} samples, and {there} were there.")
    left = [] if memory.rows is None else memory.rows.key.tolist()
    expect(left == stay, f"{name} keeps other samples than those it was not told to drop.")
    expect(memory.drop(gone) == 0, f"{name} drops samples that it dropped before.")


def _equal(a: object, b: object) -> bool:
    """Whether two entries of a state are equal bit for bit."""
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return a.shape == b.shape and torch.equal(a.nan_to_num(), b.nan_to_num())
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_equal(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(map(_equal, a, b))
    return a == b
