"""Sink: the protocol of what takes the figures of a run, and the registry of what there is."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from holdfast.core.errors import ConfigError
from holdfast.core.grammar import listed
from holdfast.core.registry import Registry
from holdfast.store.atomic import atomic_write

KEPT = "logs.json"  # in the folder of a run: by which names its logs go on when it is resumed


@dataclass(frozen=True)
class About:
    """The run whose figures come.

    Attributes:
        name: of the run, for people.
        folder: of the run, in which a sink may write.
        settings: every one by its path, such as ``setup.training.lr``, as plain values.
    """

    name: str
    folder: Path
    settings: Mapping[str, Any]

    def recall(self, sink: str) -> str | None:
        """By which name a sink of this run that was stopped went on; None for a new run."""
        return _kept(self.folder).get(sink)

    def remember(self, sink: str, name: str) -> None:
        """Keep by which name a sink goes on, if this run is stopped and resumed."""
        text = json.dumps(_kept(self.folder) | {sink: name}, indent=2) + "\n"
        self.folder.mkdir(parents=True, exist_ok=True)
        atomic_write(self.folder / KEPT, lambda to: to.write_text(text))


def _kept(folder: Path) -> dict[str, str]:
    try:
        data = json.loads((folder / KEPT).read_text())
        return dict(data) if isinstance(data, dict) else {}
    except (OSError, ValueError):
        return {}


class Sink(Protocol):
    """Takes figures as they come. Any error it raises ends it, with a warning, and never the run.

    It is made by a function or class that takes ``about`` (`About`), and settings of its own. What needs
    a package that may not be there names it as ``package``.
    """

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Figures by name, such as ``train/loss`` or ``class_il/task_1``.

        Args:
            step: epochs of all tasks so far; it never falls.
            values: finite or not.
        """
        ...

    def finish(self, status: str) -> None:
        """The run is over: ``complete``, or why it stopped."""
        ...


LOGS: Registry[Callable[..., Sink]] = Registry("log", module="holdfast.log")
register = LOGS.register


def ready(text: str) -> None:
    """Refuse what no run could log to, before one begins.

    A sink that needs a package names it as its attribute ``package``.

    Args:
        text: as for `Logs`.

    Raises:
        ConfigError: for an unknown name, or a package that is not installed.
    """
    for one in listed(text):
        entry, _ = LOGS.find(one)
        package = getattr(entry.value, "package", "")
        if package and find_spec(package) is None:
            extra = f"'holdfast[{entry.name}]'" if entry.builtin else package
            raise ConfigError(f"--log {entry.name} needs {package}: pip install {extra}.")
