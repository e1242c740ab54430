"""What arrives in a run of a grid: data by name, limited, and cut into tasks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from holdfast.core.errors import ConfigError
from holdfast.recipes.presets import Preset
from holdfast.stream import Source, Stream, make_stream, open_source, validation


@dataclass(frozen=True)
class Data:
    """What arrives in a run, as ``holdfast run`` has it in its flags of the same names."""

    stream: str = "digits"
    data: str | None = None
    scenario: str = "class"
    tasks: int = 0
    per_class: int = 0
    test_per_class: int = 0
    validation: float = 0.0
    order_seed: int | None = None

    def source(self) -> Source:
        """The data, read (DataError, ConfigError)."""
        counts = self.per_class or None, self.test_per_class or None
        source = open_source(self.stream, self.data, None, *counts)
        return validation(source, self.validation) if self.validation else source

    def cut(self, source: Source, preset: Preset) -> Stream:
        """The data in tasks (ConfigError)."""
        tasks, cuts = preset.cuts(len(source.names), self.tasks, scenario=self.scenario)
        return make_stream(source, self.scenario, tasks, cuts, self.order_seed)


def named_stream(text: str) -> tuple[str, str | None]:
    """A stream's name and the path of its data, if it has one (ConfigError for no such path)."""
    name, equals, path = text.partition("=")
    if equals and not Path(path).expanduser().exists():
        raise ConfigError(f"{path} does not exist: write --streams NAME=PATH for local data.")
    return (name, path) if equals else (text, None)
