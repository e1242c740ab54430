"""Grid: methods x streams x seeds x orders as one value, and the runs that it asks for."""

from __future__ import annotations

import hashlib
import inspect
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from holdfast.compare.arrival import Data, named_stream
from holdfast.compare.tuned import Tuned
from holdfast.core.errors import ConfigError, unknown
from holdfast.core.grammar import fitted, type_hints
from holdfast.readout.readout import Readout
from holdfast.recipes.catalogue import full_parameters, make, resolve
from holdfast.recipes.method import Method
from holdfast.recipes.presets import Preset, find_preset
from holdfast.stream import PixelStore, Stream, peek_shape
from holdfast.train.blueprint import Blueprint
from holdfast.train.identity import described, settings
from holdfast.train.setup import FIELDS

SETTINGS = (*FIELDS, "protocol", "images", "readout", "also", "augment")


@dataclass(frozen=True)
class Job:
    """One run of a grid.

    Attributes:
        recipe: its name.
        parameters: of the recipe, all of them.
        overrides: the settings that differ from the preset's, by name.
        preset: by name, never auto.
        data: what arrives.
        seed: of weights, batches and views.
        key: the hash of its whole setup, method and data.
        name: of its folder.
        tuning: by how many trials its parameters were chosen, and how; empty where nobody says.
        diagnose: whether it is looked into after each task, which changes nothing of it.
    """

    recipe: str
    parameters: Mapping[str, Any]
    overrides: Mapping[str, Any]
    preset: str
    data: Data
    seed: int
    key: str = ""
    name: str = ""
    tuning: Mapping[str, Any] = field(default_factory=dict)
    diagnose: bool = False

    def blueprint(self, stream: Stream, preset: Preset) -> Blueprint:
        """What it is made from (ConfigError)."""
        return Blueprint.of(
            self.recipe, stream.shape, preset, self.parameters, **self.overrides, seed=self.seed
        )


@dataclass(frozen=True)
class Grid:
    """Methods x streams x seeds x orders (docs/compare-runs.md).

        >>> grid = Grid(("lwf", "fnc2"), seeds=2, orders=2, settings={"fnc2.gamma": ("0", "4")})
        >>> len(list(grid.choices("fnc2"))), len(grid.blocks)
        (2, 4)

    Attributes:
        recipes: by name, perhaps with settings as ``fnc2:tau=0.5``.
        streams: by name, or as ``NAME=PATH`` for local data.
        seeds: how many, from 0 on.
        orders: how many; the first is the classes' own, number k is shuffled by order seed k.
        pairs: in place of both, so many blocks whose seed and order vary together.
        settings: values by ``RECIPE.PARAMETER``, or by the name of a setting such as ``epochs`` for
            all recipes; every combination is run.
        tuned: what `tuning.tune` chose, for the recipes of their names; ``settings`` come over it.
        preset: by name.
        tasks, per_class, test_per_class, validation, scenario, domains, size: as in ``holdfast run``, which
            takes the preset's numbers where none are given.
        diagnose: whether each run is looked into after each task (docs/diagnose.md); no key depends on
            it, and runs that were complete before stay as they are.
        first: number of the first seed and order: settings are chosen on other blocks than are reported.

    Raises:
        ConfigError: for no recipe or stream, or numbers that are too small.
    """

    recipes: Sequence[str]
    streams: Sequence[str] = ("digits",)
    seeds: int = 1
    orders: int = 1
    pairs: int = 0
    settings: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    tuned: Sequence[Tuned] = ()
    preset: str = "auto"
    tasks: int = 0
    per_class: int | None = None
    test_per_class: int | None = None
    validation: float = 0.0
    scenario: str = "class"
    diagnose: bool = False
    domains: str = ""
    first: int = 0
    size: int = 0

    def __post_init__(self):
        for name in ("recipes", "streams"):
            if not getattr(self, name) or isinstance(getattr(self, name), str):
                raise ConfigError(f"a grid needs {name}: name at least one, in a list.")
        if min(self.seeds, self.orders) < 1 or min(self.pairs, self.first) < 0:
            raise ConfigError("a grid needs at least one seed and one order, numbered from 0 on.")
        if self.pairs and max(self.seeds, self.orders) > 1:
            raise ConfigError("give pairs of seed and order, or seeds and orders, not both.")

    @property
    def blocks(self) -> list[tuple[int, int]]:
        """The (seed, order) that every method runs with."""
        first = self.first
        if self.pairs:
            return [(number, number) for number in range(first, first + self.pairs)]
        seeds, orders = range(first, first + self.seeds), range(first, first + self.orders)
        return list(itertools.product(seeds, orders))

    def choices(self, recipe: str) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        """Every combination of parameters of a recipe and of settings that it is run with.

        Raises:
            ConfigError: for a parameter or setting that does not exist, with the nearest name.
        """
        entry, _ = resolve(recipe)
        known = inspect.signature(entry.value).parameters
        hints = type_hints(entry.value)
        columns: list[list[tuple[str, bool, Any]]] = []
        for key, values in self.settings.items():
            owner, dot, name = key.rpartition(".")
            if dot and owner != entry.name:
                continue
            if dot and name not in known:
                raise unknown(f"parameter of the recipe {entry.name} (--set {key})", name, known)
            if not dot and name not in SETTINGS:
                raise unknown(f"setting (--set {key})", name, SETTINGS)
            hint = hints.get(name, Any)
            columns.append(
                [(name, bool(dot), fitted(v, hint, f"--set {key}") if dot else v) for v in values]
            )
        for picked in itertools.product(*columns):
            yield {n: v for n, dot, v in picked if dot}, {n: v for n, dot, v in picked if not dot}

    def jobs(self, store: PixelStore | None = None) -> list[Job]:
        """The runs, block by block, so that what is done at any time is balanced.

        Every name and number is checked here, and the data are read once.

        Args:
            store: takes the pixels of images that would not fit into memory.

        Raises:
            ConfigError: for anything that cannot run.
            DataError: for data that cannot be read.
        """
        names = {resolve(recipe)[0].name for recipe in self.recipes}
        for key in self.settings:
            owner, dot, _ = key.rpartition(".")
            if dot and owner not in names:
                raise unknown(f"recipe of this grid (--set {key})", owner, names)
        jobs: dict[str, Job] = {}
        for text in self.streams:
            name, path = named_stream(text)
            preset = find_preset(self.preset, peek_shape(name, path, self.size or None), name)
            source = self._data(name, path, 0, preset).source(store)
            for order in sorted({order for _, order in self.blocks}):
                data = self._data(name, path, order, preset)
                stream = data.cut(source, preset)
                mark = stream.fingerprint()
                for job in self._jobs_of(data, stream, preset, mark, order):
                    jobs.setdefault(job.key, job)
        return sorted(jobs.values(), key=lambda job: (job.data.order_seed or 0, job.seed))

    def _data(self, name: str, path: str | None, order: int, preset: Preset) -> Data:
        each, test_each = preset.limits(self.per_class, self.test_per_class)
        return Data(
            name, path, self.scenario, self.tasks, each, test_each, self.validation, order or None,
            self.domains, self.size,
        )  # fmt: skip

    def _jobs_of(
        self, data: Data, stream: Stream, preset: Preset, mark: str, order: int
    ) -> Iterator[Job]:
        """The runs over one stream in one order."""
        for text in self.recipes:
            for parameters, overrides in self.choices(text):
                entry, _ = resolve(text)
                chosen = next((one for one in self.tuned if one.recipe == entry.name), None)
                before = dict(chosen.parameters) if chosen else {}
                full = full_parameters(text, preset, **(before | parameters))
                settings = (dict(chosen.overrides) if chosen else {}) | overrides
                tuning = {"trials": chosen.trials, "protocol": chosen.protocol} if chosen else {}
                for seed in (seed for seed, number in self.blocks if number == order):
                    job = Job(entry.name, full, settings, preset.name, data, seed, tuning=tuning)
                    yield keyed(replace(job, diagnose=self.diagnose), stream, preset, mark)


def keyed(job: Job, stream: Stream, preset: Preset, mark: str) -> Job:
    """A run with the hash of its whole setup, method and data, and the name of its folder."""
    blueprint = job.blueprint(stream, preset)
    method = blueprint.method()
    setup = blueprint.setup.to_dict() | {"protocol": str(blueprint.setup.protocol_of(method))}
    about = {"setup": setup, "method": described(method), "data": mark, "tasks": len(stream)}
    about |= _other_readout(job, method)
    text = json.dumps(about, sort_keys=True, default=str)
    key = hashlib.sha256(text.encode()).hexdigest()[:16]
    words = f"{job.recipe}-{stream.name}-seed{job.seed}-order{job.data.order_seed or 0}-{key[:8]}"
    name = "".join(c if c.isalnum() or c in "-_" else "-" for c in words)
    return Job(**{**_fields(job), "key": key, "name": name})


def _other_readout(job: Job, method: Method) -> dict[str, Any]:
    """What decides, if a parameter of the recipe made it another than is usual: no term shows it."""

    def written(readout: Readout | None) -> dict[str, Any] | None:
        return readout and {n: settings(module) for n, module in readout.named_modules()}

    mine, usual = written(method.readout), written(make(job.recipe).readout)
    return {} if mine == usual else {"readout": mine}


def _fields(job: Job) -> dict[str, Any]:
    return {name: getattr(job, name) for name in job.__dataclass_fields__}


def described_grid(grid: Grid, jobs: Sequence[Job]) -> dict[str, Any]:
    """A grid as plain data, for its folder."""
    return {
        "format": 1,
        "grid": asdict(replace(grid, tuned=())),
        "cells": {job.name: job.key for job in jobs},
    }
