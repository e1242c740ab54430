"""Which domain a row is of, and whether domains can be compared at all."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from jaxtyping import Int
from torch import Tensor

from holdfast.core.errors import ConfigError
from holdfast.core.rows import Rows

if TYPE_CHECKING:
    from holdfast.stream.task import Task


def domains_of(rows: Rows) -> Int[Tensor, " n"]:
    """(N,) the column ``domain``; without one, where tasks are the domains, the task."""
    return rows.extra.get("domain", rows.task)


def column_count(rows: Rows) -> int:
    """How many domains the column ``domain`` numbers; 0 without one."""
    column = rows.extra.get("domain")
    return 0 if column is None or not len(column) else int(column.max()) + 1


def check_domains(task: Task, known: Collection[int]) -> None:
    """Stop where a difference of domains would be one of classes.

    Args:
        task: that begins.
        known: classes of the tasks before it.

    Raises:
        ConfigError: if two domains of the task share no class; or, where tasks are the domains, if it
        shares
            none with the tasks before it.
    """
    rows = task.train
    if "domain" not in rows.extra:
        if known and not set(task.classes) & set(known):
            raise ConfigError(
                f"task {task.index + 1} shares no class with the tasks before it, so that its classes "
                "would be taken for a domain: use a stream of domains, such as --domains rotated:0,30."
            )
        return
    domain = domains_of(rows)
    classes = {int(d): {*rows.y[domain == d].tolist()} for d in domain.unique()}
    pairs = [(a, b) for a in classes for b in classes if a < b and not classes[a] & classes[b]]
    if pairs:
        a, b = pairs[0]
        raise ConfigError(
            f"the domains {a} and {b} of task {task.index + 1} share no class, so that classes would be "
            "taken for domains: give every domain rows of the same classes."
        )
