"""A class alone: refused where the method can only tell a task's classes from each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.core.errors import ConfigError
from holdfast.stream.task import Task

if TYPE_CHECKING:
    from holdfast.train.continual import Continual


def refuse_alone(core: Continual, task: Task) -> None:
    """Refuse a task that would teach the head nothing.

    Raises:
        ConfigError: naming the recipe and the class.
    """
    alone = len(task.classes) == 1 and task.index > 0 and not task.few
    contrasts = any(term.needs_rivals for term in core.method.terms)
    if alone and contrasts and core.readouts[core.readout].needs_head:
        label = task.labels[task.classes[0]] if task.labels else f"class {task.classes[0]}"
        raise ConfigError(
            f"the recipe {core.method.name} contrasts a task's classes with each other only, so a "
            f"task of '{label}' alone teaches its head nothing: give two classes at once, or "
            "use the readout gaussian."
        )
