"""``holdfast grid``: methods x streams x seeds x orders in one folder, and the table they end in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from holdfast.cli.interrupt import Stopped
from holdfast.cli.options import Number, Text
from holdfast.cli.reading import read
from holdfast.cli.terminal import shown
from holdfast.compare.comparison import compare
from holdfast.compare.formats import terminal
from holdfast.compare.plan import Grid, Job
from holdfast.compare.runs import read_runs
from holdfast.compare.sweep import FAILED, RUNS, Sweep, is_complete, run_grid
from holdfast.compare.tuned import read_tuned
from holdfast.compare.work import Outcome
from holdfast.core.errors import ConfigError
from holdfast.core.grammar import listed, pieces
from holdfast.core.settings import PresetName
from holdfast.report.progress import progress_mode, rough
from holdfast.report.table import percent

Several = Annotated[
    tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="NAME=VALUES")
]

Files = Annotated[tuple[Path, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="PATH")]


@dataclass(frozen=True)
class GridOptions:
    """Run methods x streams x seeds x orders, and compare them. Called again, it goes on where it stopped.

    Args:
        recipes: names with commas between, perhaps with settings: fnc2:tau=0.5,lwf.
        out: the folder; every run has its own below runs/, every traceback a file below failed/.
        streams: names with commas between, or NAME=PATH for local data.
        seeds: how many, from 0 on.
        orders: of the classes, how many: the first is their own, number k is shuffled by k. Seeds and
            orders are crossed, which says which of them matters.
        pairs: so many blocks whose seed and order vary together, in place of seeds and orders: the
            surest mean for as many runs.
        first_block: number of the first seed and order. Choose settings on other blocks, and with
            --validation, than those that you report.
        set: values of a parameter, as fnc2.gamma=0,1,4, or of a setting of all recipes, as epochs=10;
            may be repeated. Every combination is run. A value with commas goes into brackets:
            "also=(head,gaussian)".
        tuned: file that holdfast tune left: parameters of the recipe of its name; may be repeated.
        preset: where settings come from: quick, desk, paper, a protocol of the field such as
            cifar100-10x10, or auto by the inputs' size.
        tasks: how many; 0 takes the preset's.
        domains: ways in which the streams are seen, each a task, as in holdfast run: rotated:0,30,60.
        per_class: training images used of each class; 0 is all. By default the preset's.
        test_per_class: test images used of each class; 0 is all. By default the preset's.
        size: side to which images are scaled; 0 keeps theirs.
        validation: share of the training images to measure on in place of the test set.
        workers: processes at a time; 0 takes as many as there are cores for, 1 uses this process.
        threads: of each.
        engine: what carries the runs out: pool, processes of this machine; or ray, a Ray cluster, whose
            nodes see --out and have holdfast[ray].
        address: of the Ray cluster, HOST:PORT; without it the one of this machine, or one started for
            this grid.
        baseline: of the table: the method with which all are compared.
        across: what may differ within one table: protocol, backbone.
        diagnose: look into every run after each task, as holdfast run --diagnose does; holdfast report
            shows what was seen. A run that was complete before stays as it is.
        quiet: print nothing but errors and the table.
    """

    recipes: str
    out: Path
    streams: str = "digits"
    seeds: int = 1
    orders: int = 1
    pairs: int = 0
    first_block: int = 0
    set: Several = ()
    tuned: Files = ()
    preset: PresetName = "auto"
    tasks: int = 0
    domains: str = ""
    per_class: Number = None
    test_per_class: Number = None
    size: int = 0
    validation: float = 0.0
    workers: int = 0
    threads: int = 1
    engine: Literal["pool", "ray"] = "pool"
    address: Text = None
    baseline: Text = None
    across: Text = None
    diagnose: bool = False
    quiet: bool = False


def grid_command(arguments: list[str], console: Console) -> int:
    """Read the flags, carry out the grid, and print the table; 1 if a run failed."""
    options = read(GridOptions, arguments, "holdfast grid")
    tuned = [read_tuned(file) for file in options.tuned]
    grid = Grid(
        listed(options.recipes), listed(options.streams), options.seeds, options.orders,
        options.pairs, settings_of(options.set), tuned, options.preset, options.tasks,
        options.per_class, options.test_per_class, options.validation, diagnose=options.diagnose,
        domains=options.domains, first=options.first_block, size=options.size,
    )  # fmt: skip
    with Shown(console, options.quiet) as watch:
        try:
            hands = (max(0, options.workers), max(1, options.threads))
            sweep = run_grid(
                grid, options.out, *hands, watch, options.engine, options.address or ""
            )
        except KeyboardInterrupt as stop:
            text = "stopped; the same command goes on where it was."
            raise Stopped(text, getattr(stop, "by", 2)) from None
    if sweep.skipped and not options.quiet:
        count = f"{len(sweep.skipped)} of {len(sweep.jobs)} runs were complete before."
        console.print(shown(count), soft_wrap=True)
    folders = [options.out / RUNS / job.name for job in sweep.jobs]
    folders = [folder for folder in folders if is_complete(folder)]
    if folders:
        cells, notes = read_runs(folders)
        across = listed(options.across or "")
        console.print(terminal(compare(cells, options.baseline or "", across=across, notes=notes)))
    for outcome in sweep.failed:
        file = options.out / FAILED / f"{outcome.name}.txt"
        line = f"failed: {outcome.name}: {outcome.error} (traceback: {file})"
        console.print(shown(line, "red"), soft_wrap=True)
    console.print(shown(f"folder: {options.out}"), soft_wrap=True)
    return 1 if sweep.failed else 0


def settings_of(texts: tuple[str, ...]) -> dict[str, list[str]]:
    """Values by name, from texts such as ``fnc2.gamma=0,1,4``.

    Raises:
        ConfigError: for a text without a name or a value, or a name that is there twice.

    >>> settings_of(("fnc2.gamma=0,1", "fnc2.alpha=(delayed:8,20),cosine"))
    {'fnc2.gamma': ['0', '1'], 'fnc2.alpha': ['delayed:8,20', 'cosine']}
    """
    output: dict[str, list[str]] = {}
    for text in texts:
        name, _, values = text.partition("=")
        parts = [piece.strip() for _, piece in pieces(values, ",")] if values else []
        parts = [p[1:-1] if p.startswith("(") and p.endswith(")") else p for p in parts]
        if not name or not parts or not all(parts):
            raise ConfigError(f"--set {text} names no values: write for example fnc2.gamma=0,1,4.")
        if name in output:
            raise ConfigError(f"--set {name} is there twice: give all its values at once.")
        output[name] = parts
    return output


class Shown:
    """A bar on a terminal, a line for each run in a log, or nothing."""

    def __init__(self, console: Console, quiet: bool):
        self.console, self.mode = console, progress_mode(console, quiet)
        columns = (
            TextColumn("{task.description}"),
            BarColumn(24),
            TextColumn("{task.fields[note]}"),
        )
        self.bar = (
            Progress(*columns, console=console, transient=True) if self.mode == "bar" else None
        )
        self.task = None if self.bar is None else self.bar.add_task("reading the data", note="")

    def __enter__(self) -> Shown:
        """Show the bar."""
        if self.bar is not None:
            self.bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Take it away."""
        if self.bar is not None:
            self.bar.stop()

    def __call__(self, sweep: Sweep, job: Job, outcome: Outcome | None) -> None:
        """Show how far a grid is."""
        left = sweep.left()
        note = "" if not left else f"about {rough(left)} left"
        if self.bar is not None and self.task is not None:
            done = sweep.ended + sum(sweep.shares.values())
            words = f"{sweep.ended} of {len(sweep.jobs)} runs"
            self.bar.update(
                self.task, description=words, total=len(sweep.jobs), completed=done, note=note
            )
        if outcome is None or self.mode == "quiet":
            return
        what = outcome.error or f"Class-IL {percent(outcome.figure)}, {outcome.seconds:.1f} s"
        order = job.data.order_seed or 0
        name = f"{job.recipe} {job.data.stream} seed {job.seed} order {order}"
        place = f"{sweep.ended}/{len(sweep.jobs)}"
        text = f"{place}  {name}: {what}{'; ' * bool(note)}{note}"
        self.console.print(shown(text), soft_wrap=True)
