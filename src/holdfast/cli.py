"""The command line: ``holdfast run RECIPE``, ``holdfast recipes``, ``holdfast study NAME``."""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import io
import sys
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from holdfast.allocator import keep_freed_memory
from holdfast.engine import Work
from holdfast.errors import HoldfastError, unknown
from holdfast.options import parse
from holdfast.presets import Preset, preset
from holdfast.recipes import RECIPES, make
from holdfast.report import Watch, progress_mode, summary
from holdfast.store import RunFolder, fresh
from holdfast.stream.sets import views_named
from holdfast.study import STUDIES, shown

USAGE = """\
holdfast: teach a network new classes from the new data alone, and see what it kept.

  holdfast run RECIPE [flags]     learn a stream of tasks
  holdfast run RECIPE --help      every flag with its default and meaning
  holdfast recipes                the methods, a line each
  holdfast study equivalence      weight anchors against distillation: the theory, measured
  holdfast --version

First result: holdfast run fnc2 --stream digits"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; 0 if it succeeded, 2 for what the user can put right, 130 for Ctrl-C."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a class name may not fit the terminal's encoding
    complaints = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        return dispatch(arguments)
    except HoldfastError as error:
        complaints.print(f"[bold red]error:[/] {_plain(str(error))}")
        return 2
    except KeyboardInterrupt:
        complaints.print("stopped: finished tasks are in the run's folder.")
        return 130


def dispatch(arguments: list[str]) -> int:
    """Find the command and hand it the rest."""
    console = Console(highlight=False)
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        console.print(USAGE, markup=False)
        return 0
    if arguments[0] in ("-V", "--version"):
        console.print(f"holdfast {version('holdfast')}")
        return 0
    if arguments[0] not in COMMANDS:
        raise unknown("command", arguments[0], COMMANDS)
    return COMMANDS[arguments[0]](arguments[1:], console)


def recipes(arguments: list[str], console: Console) -> int:
    """List the recipes: a line each, and the source."""
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 1, 0))
    table.add_column(style="bold")
    table.add_column()
    for name, recipe in RECIPES.items():
        first, _, rest = (inspect.getdoc(recipe) or "").partition("\n")
        source = " ".join(rest.partition("Source:")[2].split())
        table.add_row(name, f"{first}\n[dim]{_plain(source)}[/]")
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
    return perform(name, parse(RECIPES[name], chosen, flags), chosen, console)


def perform(name: str, options: Any, preset: Preset, console: Console) -> int:
    """Carry out a run that has been read from flags."""
    keep_freed_memory()
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
    folder = RunFolder(
        options.run.out or fresh(name, stream.name, str(protocol)), options.run.overwrite
    )
    if not options.run.quiet:
        console.print(_opening(work, preset.name), soft_wrap=True)
    epochs = [options.training.epochs_of(task.index) for task in stream]
    try:
        with Watch(progress_mode(console, options.run.quiet), console, epochs) as watch:
            for event in work.learn():
                folder(event)
                watch(event)
    except (HoldfastError, KeyboardInterrupt) as error:
        work.result.status = f"stopped: {error or 'interrupted'}"
        folder.result(work.result)
        raise
    if not options.run.quiet:
        console.print(summary(work.result, folder.path))
    return 0


def _opening(work: Work, preset: str) -> str:
    """What is about to happen, in a line."""
    stream, weights = work.stream, sum(p.numel() for p in work.learner.parameters())
    images = sum(len(task.train) for task in stream)
    return (
        f"{work.method.name} on {stream.name}: {len(stream)} tasks, {len(stream.names)} classes, "
        f"{images:,} training samples; {weights:,} weights on {work.fabric.device}; "
        f"protocol {work.protocol}, preset {preset}"
    )


def study(arguments: list[str], console: Console) -> int:
    """Run a study, and print what it found; 1 if a finding does not hold."""
    reader = argparse.ArgumentParser("holdfast study", allow_abbrev=False)
    reader.add_argument("name", help=f"one of: {', '.join(STUDIES)}")
    reader.add_argument("--out", type=Path, help="a folder for its figures and its picture")
    reader.add_argument("--seed", type=int, default=0, help="of weights and labels")
    try:
        given = reader.parse_args(arguments)
    except SystemExit as stop:  # argparse has said why
        return int(stop.code or 0)
    if given.name not in STUDIES:
        raise unknown("study", given.name, STUDIES)
    started = time.perf_counter()
    findings = STUDIES[given.name](given.out, given.seed)
    console.print(shown(given.name, findings))
    console.print(f"{time.perf_counter() - started:.1f} s", style="dim")
    if given.out is not None:
        console.print(f"folder: {given.out}", markup=False)
    return 0 if all(finding.holds for finding in findings) else 1


COMMANDS: dict[str, Callable[[list[str], Console], int]] = {
    "run": run,
    "recipes": recipes,
    "study": study,
}


def _plain(text: str) -> str:
    return text.replace("[", r"\[")


if __name__ == "__main__":
    sys.exit(main())
