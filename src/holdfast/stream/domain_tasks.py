"""A source cut into domains: a task each, or mixed within the tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Int
from torch import Tensor

from holdfast.core.errors import ConfigError
from holdfast.core.rows import Rows
from holdfast.stream.corruptions import CHUNK
from holdfast.stream.domains import Domains
from holdfast.stream.source import Source
from holdfast.stream.split import by_domain, complete, dealt, make_stream
from holdfast.stream.task import Stream

DEALT = 1_000_003  # seed of who is in which domain: not that by which instances come


def make_domains(
    source: Source,
    text: str,
    scenario: str = "class",
    tasks: int = 0,
    classes_per_task: Sequence[int] | None = None,
    order_seed: int | None = None,
) -> Stream:
    """A stream of domains: a task each; or, with ``mix=yes``, the tasks of a scenario with all in each.

    Where they are mixed, every row is in one domain, the rows of each class are dealt evenly, and the
    column ``domain`` says which. Else a row's task is its domain, and each has all rows of the source.

    Args:
        source: all the data.
        text: the domains, see `Domains.of`.
        scenario: of mixed domains, ``class`` or ``instance``.
        tasks: of mixed domains; else their number or 0.
        classes_per_task: of mixed domains.
        order_seed: see `make_stream`; draws the orders of pixels where domains are tasks.

    Raises:
        ConfigError: for domains that cannot be, or that do not go with the scenario.
        DataError: if a class lacks rows.
    """
    domains = Domains.of(text)
    source = replace(source, name=f"{source.name}-{domains.text}")
    if domains.mix:
        return _mixed(source, domains, scenario, tasks, classes_per_task, order_seed)
    count = len(domains.values)
    if scenario != "class" or classes_per_task is not None:
        raise ConfigError(
            f"--domains {text} makes each domain a task with all classes: leave --scenario and "
            "--classes-per-task out, or mix the domains in the tasks with :mix=yes."
        )
    if tasks not in (0, count):
        raise ConfigError(f"--domains {text} makes {count} tasks, not {tasks}: leave --tasks out.")
    complete(source)
    seed = order_seed or 0

    def changed(x: Tensor, t: int, first: int) -> Tensor:
        return domains.seen(x, t, range(first, first + len(x)), seed)

    return by_domain(source, count, changed)


def _mixed(
    source: Source,
    domains: Domains,
    scenario: str,
    tasks: int,
    classes_per_task: Sequence[int] | None,
    order_seed: int | None,
) -> Stream:
    """Each row of the source in one domain, and then in tasks."""
    if scenario not in ("class", "instance"):
        raise ConfigError(
            f"the scenario {scenario} changes the inputs itself: mix domains in class or instance."
        )
    complete(source)
    n, count = len(source.y), len(domains.values)
    columns = [_assigned(y, count) for y in (source.y, source.test_y)]
    x, test_x = (
        _in_domains(domains, x, column, first)
        for x, column, first in ((source.x, columns[0], 0), (source.test_x, columns[1], n))
    )
    changed = replace(source, x=x, test_x=test_x)
    stream = make_stream(changed, scenario, tasks, classes_per_task, order_seed)
    column = torch.cat(columns)
    named = [
        replace(t, train=_with_domain(t.train, column), test=_with_domain(t.test, column))
        for t in stream
    ]
    return replace(stream, tasks=tuple(named))


def _in_domains(domains: Domains, x: Tensor, column: Int[Tensor, " n"], first: int) -> Tensor:
    """Each row as it is in its domain; chance follows from a row's place in the source."""
    out = torch.empty(x.shape, dtype=x.dtype)
    for d in range(len(domains.values)):
        rows = (column == d).nonzero()[:, 0]
        for index in rows.split(CHUNK) if len(rows) else ():
            out[index] = domains.seen(x[index], d, (index + first).tolist())
    return out


def _with_domain(rows: Rows, column: Int[Tensor, " n"]) -> Rows:
    return replace(rows, extra={**rows.extra, "domain": column[rows.key]})


def _assigned(y: Int[Tensor, " n"], count: int) -> Int[Tensor, " n"]:
    """A domain for each row, evenly within each class, whatever the order in which classes come."""
    column = torch.zeros_like(y)
    for d, rows in enumerate(dealt(y, count, DEALT)):
        column[rows] = d
    return column
