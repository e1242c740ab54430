"""``holdfast run RECIPE`` and ``holdfast recipes``."""

from __future__ import annotations

import argparse
import dataclasses
import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from holdfast.allocator import keep_freed_memory
from holdfast.commands.stop import Stop, Stopped, again, plain
from holdfast.engine import Work
from holdfast.errors import ConfigError, HoldfastError, unknown
from holdfast.events import TaskDone
from holdfast.options import RunOptions, parse
from holdfast.presets import Preset, preset
from holdfast.recipes import RECIPES, make
from holdfast.report import Watch, progress_mode, summary
from holdfast.store import RunFolder, fresh, stopped
from holdfast.stream.sets import views_named


def recipes(arguments: list[str], console: Console) -> int:
    """List the recipes: a line each, and the source."""
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 1, 0))
    table.add_column(style="bold")
    table.add_column()
    for name, recipe in RECIPES.items():
        first, _, rest = (inspect.getdoc(recipe) or "").partition("\n")
        source = " ".join(rest.partition("Source:")[2].split())
        table.add_row(name, f"{first}\n[dim]{plain(source)}[/]")
    console.print(table)
    console.print("Their parameters: holdfast run RECIPE --help", style="dim")
    return 0


def run(arguments: list[str], console: Console) -> int:
    """Learn a stream, print the figures, and leave a folder."""
    if not arguments or arguments[0].startswith("-"):
        if arguments and arguments[0] not in ("-h", "--help"):
            raise unknown("recipe", arguments[0], RECIPES)
        console.print("holdfast run RECIPE [flags], with RECIPE one of:\n")
        return recipes([], console)
    name, flags = arguments[0], arguments[1:]
    if name not in RECIPES:
        raise unknown("recipe", name, RECIPES)
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for flag, default in (("--preset", "auto"), ("--stream", "digits"), ("--data", None)):
        first.add_argument(flag, default=default)
    known, _ = first.parse_known_args(flags)
    if known.data and known.stream == "digits":  # local data are called by their folder's name
        known.stream = Path(known.data).resolve().name
    chosen = preset(known.preset, known.stream)
    return perform(name, parse(RECIPES[name], chosen, flags), chosen, console, flags)


def perform(
    name: str, options: Any, preset: Preset, console: Console, flags: Sequence[str] = ()
) -> int:
    """Carry out a run that has been read from flags, which are told again when it is stopped."""
    keep_freed_memory()
    work = _work(name, options, preset)
    folder = _folder(name, options.run, work)
    say = console.print if not options.run.quiet else lambda *_, **__: None
    if folder.complete:
        say(f"{folder.path} is complete: nothing is left to learn.")
        return 0
    say(_opening(work, preset.name), soft_wrap=True)
    if folder.state is not None:
        work.restore(folder.state)
        at, epochs = work.place, options.training.epochs_of(work.place.task)
        say(f"resumed in task {at.task + 1}, after epoch {at.epochs} of {epochs}")
    try:
        _learn(work, folder, options, console)
    except (HoldfastError, KeyboardInterrupt) as error:
        work.result.status = f"stopped: {error or 'interrupted'}"
        folder.result(work.result)
        if isinstance(error, HoldfastError):
            raise
        go_on = again(f"run {name}", flags, ["--out", str(folder.path), "--resume"])
        raise Stopped(f"stopped; to go on: {go_on}") from None
    if not options.run.quiet:
        console.print(summary(work.result, folder.path))
    return 0


def _work(name: str, options: Any, preset: Preset) -> Work:
    """The run that the flags ask for, before anything is learned."""
    method = make(name, **dataclasses.asdict(options.recipe))
    protocol = options.run.protocol_for(method)
    stream = options.stream.make(preset)
    also = [other for other in options.run.also.split(",") if other]
    views = views_named(options.run.augment, stream.shape, method.views)
    work = Work(
        method, stream, options.training, protocol, options.run.readout, also,
        options.model, options.machine, views, options.run.seed,
    )  # fmt: skip
    work.result.config = work.settings | {
        "recipe": dataclasses.asdict(options.recipe),
        "stream": dataclasses.asdict(options.stream),
        "run": dataclasses.asdict(options.run),
        "preset": preset.provenance,
    }
    return work


def _folder(name: str, run: RunOptions, work: Work) -> RunFolder:
    """Where the results go: what was asked for, the stopped run of that name, or a fresh name."""
    if run.resume and run.overwrite:
        raise ConfigError("--resume goes on with a run and --overwrite removes it: give one.")
    named = (name, work.stream.name, str(work.protocol))
    path = run.out or (stopped(*named) if run.resume else fresh(*named))
    return RunFolder(path, run.overwrite, run.resume)


def _learn(work: Work, folder: RunFolder, options: Any, console: Console) -> None:
    epochs = [options.training.epochs_of(task.index) for task in work.stream]
    mode = progress_mode(console, options.run.quiet)
    with Stop(Console(stderr=True)) as stop, Watch(mode, console, epochs) as watch:
        for event in work.learn():
            folder(event)
            watch(event)
            if work.result.status == "complete":
                return
            folder.keep(work.state, must=stop.asked or isinstance(event, TaskDone))
            if stop.asked:
                raise KeyboardInterrupt


def _opening(work: Work, preset: str) -> str:
    """What is about to happen, in a line."""
    stream, weights = work.stream, sum(p.numel() for p in work.learner.parameters())
    images = sum(len(task.train) for task in stream)
    return (
        f"{work.method.name} on {stream.name}: {len(stream)} tasks, {len(stream.names)} classes, "
        f"{images:,} training samples; {weights:,} weights on {work.fabric.device}; "
        f"protocol {work.protocol}, preset {preset}"
    )
