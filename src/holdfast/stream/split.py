"""Split: a source cut into the tasks of a stream."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from holdfast.core import errors
from holdfast.core.errors import ConfigError, DataError
from holdfast.core.rows import Rows
from holdfast.stream.arrays import positive, shuffled
from holdfast.stream.changes import in_order, pixel_order, rotated
from holdfast.stream.source import Source
from holdfast.stream.task import Stream, Task

KINDS = ("permuted", "rotated")
SCENARIOS = ("class", *KINDS, "instance")


def make_stream(
    source: Source,
    scenario: str = "class",
    tasks: int = 5,
    classes_per_task: Sequence[int] | None = None,
    order_seed: int | None = None,
) -> Stream:
    """A source cut into tasks by the name of a scenario.

    Args:
        source: all the data.
        scenario: ``class`` (new classes), ``permuted`` or ``rotated`` (all classes, new inputs)
            or ``instance`` (all classes, new rows).
        tasks: how many tasks, unless ``classes_per_task`` says so.
        classes_per_task: how many classes each task brings, for ``class`` only.
        order_seed: shuffles the classes, the pixels or the rows; None is the source's own order
            of classes, and 0 elsewhere.

    Raises:
        ConfigError: if the scenario is unknown or the numbers do not fit the source.
        DataError: if a class lacks train or test rows.
    """
    if scenario not in SCENARIOS:
        raise errors.unknown("scenario", scenario, SCENARIOS)
    if scenario == "class":
        count = tasks if classes_per_task is None else None
        return class_incremental(source, count, classes_per_task, order_seed)
    if classes_per_task is not None:
        raise ConfigError(
            f"scenario {scenario} has all classes in every task: leave classes_per_task out."
        )
    if scenario == "instance":
        return instance_incremental(source, tasks, order_seed or 0)
    return domain_incremental(source, tasks, scenario, order_seed or 0)


def class_incremental(
    source: Source,
    tasks: int | None = None,
    classes_per_task: Sequence[int] | None = None,
    order_seed: int | None = None,
) -> Stream:
    """Every task brings classes of its own, numbered in the order they arrive in.

    Args:
        source: all the data.
        tasks: cut evenly into so many; the first tasks get one class more where K is not divisible.
        classes_per_task: or how many classes each task brings; K in all.
        order_seed: shuffles the classes; None keeps the source's order.

    Raises:
        ConfigError: if the classes cannot be cut so.
        DataError: if a class lacks train or test rows.
    """
    K = len(source.names)
    sizes = _sizes(K, tasks, classes_per_task)
    complete(source)
    order = np.arange(K) if order_seed is None else shuffled(order_seed).permutation(K)
    arrival = torch.from_numpy(np.argsort(order))  # of each class of the source
    y, test_y = arrival[source.y], arrival[source.test_y]
    cut, start = [], 0
    for t, size in enumerate(sizes):
        classes = tuple(range(start, start + size))
        start += size
        train = _pick(source.x, y, torch.isin(y, torch.tensor(classes)), t, 0)
        test = _pick(source.test_x, test_y, torch.isin(test_y, torch.tensor(classes)), t, len(y))
        cut.append(Task(t, classes, train, test))
    names = tuple(source.names[c] for c in order)
    return Stream(source.name, tuple(cut), names, tuple(order.tolist()), "class")


def domain_incremental(
    source: Source, tasks: int, kind: str = "permuted", order_seed: int = 0
) -> Stream:
    """Every task has all classes and all samples, but sees them in a way of its own.

    Args:
        source: all the data.
        tasks: how many tasks; the first sees the inputs as they are.
        kind: ``permuted`` puts the pixels (of every channel alike) in an order drawn per task;
            ``rotated`` turns the images of task i counter-clockwise by i * 180 / tasks degrees.
        order_seed: draws the orders.

    Raises:
        ConfigError: if the kind is unknown, does not suit the source, or tasks is less than 1.
        DataError: if a class lacks train or test rows.
    """
    if kind not in KINDS:
        raise errors.unknown("kind", kind, KINDS)
    if kind == "rotated" and source.x.ndim != 4:
        raise ConfigError(f"'{source.name}' holds feature vectors: only images can be rotated.")
    positive(tasks=tasks)
    complete(source)

    def changed(x: Tensor, t: int, first: int) -> Tensor:
        if kind == "permuted":
            return in_order(x, pixel_order(x, t, order_seed))
        return rotated(x, t * 180 / tasks)

    return by_domain(source, tasks, changed)


def by_domain(source: Source, tasks: int, changed: Callable[[Tensor, int, int], Tensor]) -> Stream:
    """Every task has all rows of a source, changed in a way of its own.

    Args:
        source: all the data, complete.
        tasks: how many.
        changed: inputs as task t has them, from the inputs, t and the number of the first in the source,
            where test rows come after the train rows.
    """
    n, m = len(source.y), len(source.test_y)
    cut, classes = [], tuple(range(len(source.names)))
    for t in range(tasks):
        x, test_x = changed(source.x, t, 0), changed(source.test_x, t, n)
        train = _rows(x, source.y, torch.arange(n) + t * n, t)
        test = _rows(test_x, source.test_y, torch.arange(m) + tasks * n + t * m, t)
        cut.append(Task(t, classes, train, test))
    return Stream(source.name, tuple(cut), source.names, classes, "domain")


def instance_incremental(source: Source, tasks: int, order_seed: int = 0) -> Stream:
    """Every task has all classes; train and test rows are dealt out evenly, class by class.

    Args:
        source: all the data.
        tasks: how many tasks.
        order_seed: shuffles the rows before they are dealt.

    Raises:
        ConfigError: if tasks is less than 1.
        DataError: if a class has fewer train or test rows than there are tasks.
    """
    positive(tasks=tasks)
    complete(source, tasks)
    parts = zip(dealt(source.y, tasks, order_seed), dealt(source.test_y, tasks, order_seed))
    classes = tuple(range(len(source.names)))
    cut = []
    for t, (mine, test_mine) in enumerate(parts):
        train = _pick(source.x, source.y, mine, t, 0)
        test = _pick(source.test_x, source.test_y, test_mine, t, len(source.y))
        cut.append(Task(t, classes, train, test))
    return Stream(source.name, tuple(cut), source.names, classes, "instance")


def _sizes(K: int, tasks: int | None, classes_per_task: Sequence[int] | None) -> list[int]:
    """How many classes each task brings."""
    if classes_per_task is None:
        if tasks is None:
            raise ConfigError(
                "give tasks or classes_per_task: nothing says how to cut the classes."
            )
        positive(tasks=tasks)
        if tasks > K:
            raise ConfigError(
                f"{tasks} tasks need {tasks} classes, but there are {K}: use fewer tasks."
            )
        return [K // tasks + (t < K % tasks) for t in range(tasks)]
    sizes = list(classes_per_task)
    if not sizes or min(sizes) < 1 or sum(sizes) != K:
        total = f"they add up to {sum(sizes)}, but there are {K} classes"
        raise ConfigError(f"classes_per_task is {sizes}: {total}, and every task needs one.")
    if tasks not in (None, len(sizes)):
        raise ConfigError(
            f"classes_per_task {sizes} makes {len(sizes)} tasks, not {tasks}: give one."
        )
    return sizes


def complete(source: Source, least: int = 1) -> None:
    """Check that every class has at least so many train and test rows."""
    for side, y in (("train", source.y), ("test", source.test_y)):
        counts = torch.bincount(y, minlength=len(source.names)).tolist()
        for name, count in zip(source.names, counts):
            if count < least:
                need = "every class needs some" if least == 1 else f"{least} tasks need {least}"
                rows_there = f"{count} {side} rows" if count else f"no {side} rows"
                raise DataError(f"class '{name}' of '{source.name}' has {rows_there}: {need}.")


def dealt(y: Tensor, tasks: int, seed: int) -> list[Tensor]:
    """Disjoint row numbers for every task; a class differs by at most one row between tasks."""
    rows = y.numpy()
    order = np.concatenate(
        [shuffled(seed, c).permutation(np.flatnonzero(rows == c)) for c in np.unique(rows).tolist()]
    )
    return [torch.from_numpy(np.sort(order[t::tasks])) for t in range(tasks)]


def _pick(x: Tensor, y: Tensor, chosen: Tensor, task: int, start: int) -> Rows:
    """The chosen rows (numbers or a mask) of a table whose keys begin at ``start``."""
    key = torch.arange(start, start + len(y))[chosen]
    return _rows(x[chosen], y[chosen], key, task)


def _rows(x: Tensor, y: Tensor, key: Tensor, task: int) -> Rows:
    return Rows(x, y, torch.full_like(y, task), key)
