"""Split: a source cut into the tasks of a stream."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.nn import functional as F

from holdfast.core import errors
from holdfast.core.errors import ConfigError, DataError
from holdfast.core.rows import Rows
from holdfast.stream.arrays import positive, shuffled
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
    _complete(source)
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
    _complete(source)
    n, m = len(source.y), len(source.test_y)
    cut, classes = [], tuple(range(len(source.names)))
    for t in range(tasks):
        if kind == "permuted":
            order = _order(source.x, t, order_seed)
            x, test_x = _permuted(source.x, order), _permuted(source.test_x, order)
        else:
            x, test_x = (rotated(images, t * 180 / tasks) for images in (source.x, source.test_x))
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
    _complete(source, tasks)
    parts = zip(_dealt(source.y, tasks, order_seed), _dealt(source.test_y, tasks, order_seed))
    classes = tuple(range(len(source.names)))
    cut = []
    for t, (mine, test_mine) in enumerate(parts):
        train = _pick(source.x, source.y, mine, t, 0)
        test = _pick(source.test_x, source.test_y, test_mine, t, len(source.y))
        cut.append(Task(t, classes, train, test))
    return Stream(source.name, tuple(cut), source.names, classes, "instance")


def rotated(
    images: UInt8[Tensor, "n c h w"], degrees: float, chunk: int = 4096
) -> UInt8[Tensor, "n c h w"]:
    """Images turned counter-clockwise about their centre, bilinear, black where nothing was.

    >>> image = torch.tensor([[[[1, 2], [3, 4]]]], dtype=torch.uint8)
    >>> rotated(image, 90)[0, 0].tolist()
    [[2, 4], [1, 3]]
    """
    if degrees == 0:
        return images.clone()
    h, w = images.shape[2:]
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    theta = torch.tensor([[cos, -sin * h / w, 0.0], [sin * w / h, cos, 0.0]])
    turned = []
    for piece in images.split(chunk):
        grid = F.affine_grid(theta.expand(len(piece), 2, 3), list(piece.shape), align_corners=False)
        turned.append(F.grid_sample(piece.float(), grid, align_corners=False).round().byte())
    return torch.cat(turned)


def _permuted(x: Tensor, order: Tensor) -> Tensor:
    """Pixels (of every channel alike) or features in another order."""
    return x.flatten(2)[..., order].view_as(x) if x.ndim == 4 else x[:, order]


def _order(x: Tensor, task: int, seed: int) -> Tensor:
    """The order of pixels or features of a task; the first keeps them as they are."""
    count = x[0, 0].numel() if x.ndim == 4 else x.shape[1]
    drawn = shuffled(seed, task).permutation(count) if task else np.arange(count)
    return torch.from_numpy(drawn)


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


def _complete(source: Source, least: int = 1) -> None:
    """Check that every class has at least so many train and test rows."""
    for side, y in (("train", source.y), ("test", source.test_y)):
        counts = torch.bincount(y, minlength=len(source.names)).tolist()
        for name, count in zip(source.names, counts):
            if count < least:
                need = "every class needs some" if least == 1 else f"{least} tasks need {least}"
                rows_there = f"{count} {side} rows" if count else f"no {side} rows"
                raise DataError(f"class '{name}' of '{source.name}' has {rows_there}: {need}.")


def _dealt(y: Tensor, tasks: int, seed: int) -> list[Tensor]:
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
