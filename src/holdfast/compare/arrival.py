"""What arrives in a run of a grid: data by name, limited, and cut into tasks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from holdfast.core.errors import ConfigError
from holdfast.recipes.presets import Preset
from holdfast.stream import (
    Domains,
    PixelStore,
    Source,
    Stream,
    make_domains,
    make_stream,
    open_source,
    validation,
)


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
    domains: str = ""
    size: int = 0

    def source(self, store: PixelStore | None = None) -> Source:
        """The data, read (DataError, ConfigError).

        Args:
            store: takes the pixels of images that would not fit into memory.
        """
        counts = self.per_class or None, self.test_per_class or None
        source = open_source(self.stream, self.data, self.size or None, *counts, store=store)
        return validation(source, self.validation) if self.validation else source

    def cut(self, source: Source, preset: Preset) -> Stream:
        """The data in tasks (ConfigError)."""
        how = (self.scenario, self.tasks, None, self.order_seed, self.domains)
        return cut_source(source, preset, *how)


def cut_source(
    source: Source,
    preset: Preset,
    scenario: str = "class",
    tasks: int = 0,
    cuts: tuple[int, ...] | None = None,
    order_seed: int | None = None,
    domains: str = "",
) -> Stream:
    """A source in tasks: as flags say, and where they do not as the preset does (ConfigError).

    Args:
        source: all the data.
        preset: says how many tasks there are where nothing else does.
        scenario: by name.
        tasks: how many; 0 leaves it to the preset, or is the number of domains.
        cuts: how many classes each task brings.
        order_seed: shuffles the classes.
        domains: the ways in which the source is seen; empty for one.
    """
    if domains and not Domains.of(domains).mix:
        return make_domains(source, domains, scenario, tasks, cuts, order_seed)
    tasks, cuts = preset.cuts(len(source.names), tasks, cuts, scenario)
    if domains:
        return make_domains(source, domains, scenario, tasks, cuts, order_seed)
    return make_stream(source, scenario, tasks, cuts, order_seed)


def named_stream(text: str) -> tuple[str, str | None]:
    """A stream's name and the path of its data, if it has one (ConfigError for no such path)."""
    name, equals, path = text.partition("=")
    if equals and not Path(path).expanduser().exists():
        raise ConfigError(f"{path} does not exist: write --streams NAME=PATH for local data.")
    return (name, path) if equals else (text, None)
