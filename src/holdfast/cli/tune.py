"""``holdfast tune RECIPE``: parameters chosen on held-out images of the first tasks, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from holdfast.cli.grid import Several, settings_of
from holdfast.cli.interrupt import Stopped
from holdfast.cli.options import Number, Positional
from holdfast.cli.reading import read
from holdfast.cli.terminal import shown
from holdfast.compare.arrival import Data, named_stream
from holdfast.compare.tuning import Tuning, tune
from holdfast.core.errors import ConfigError
from holdfast.core.settings import PresetName
from holdfast.recipes.presets import find_preset
from holdfast.report.table import percent
from holdfast.stream import peek_shape


@dataclass(frozen=True)
class Tune:
    """Choose a recipe's parameters on held-out training images of the first tasks, in an order of its own.

    The test images, the later tasks and the seeds and orders of a grid are not looked at. Called
    again, it goes on where it stopped.

    Args:
        recipe: its name, perhaps with settings that stay.
        out: the folder: study.db has every trial, tuned.json the best, for holdfast grid --tuned.
        stream: its name, or NAME=PATH for local data.
        trials: how many in all; the first is the recipe as the preset has it.
        first: how many tasks are seen.
        share: of their training images, what is held out and measured on.
        set: a setting of the run, such as epochs=5.
        preset: where settings come from: quick, desk, paper, a protocol of the field such as
            cifar100-10x10, or auto by the inputs' size.
        tasks: of the whole stream; 0 takes the preset's.
        per_class: training images used of each class; 0 is all. By default the preset's.
        size: side to which images are scaled; 0 keeps theirs.
        quiet: print nothing but errors.
    """

    recipe: Positional[str]
    out: Path
    stream: str = "digits"
    trials: int = 20
    first: int = 2
    share: float = 0.2
    set: Several = ()
    preset: PresetName = "auto"
    tasks: int = 0
    per_class: Number = None
    size: int = 0
    quiet: bool = False


def tune_command(arguments: list[str], console: Console) -> int:
    """Read the flags, tune, and say what was chosen."""
    options = read(Tune, arguments, "holdfast tune")
    name, path = named_stream(options.stream)
    preset = find_preset(options.preset, peek_shape(name, path, options.size or None), name)
    each, _ = preset.limits(options.per_class)
    data = Data(name, path, tasks=options.tasks, per_class=each, size=options.size)
    values = settings_of(options.set)
    if any(len(several) > 1 for several in values.values()):
        raise ConfigError("--set takes one value here: what is looked for stands with the recipe.")
    settings = {name: several[0] for name, several in values.items()}
    tuning = Tuning(
        options.recipe, data, options.preset, options.first, options.share, settings
    )  # fmt: skip

    def watch(number: int, score: float | None, chosen: Mapping[str, float]) -> None:
        words = ", ".join(f"{name} {value:.3g}" for name, value in chosen.items())
        what = "diverged" if score is None else f"Class-IL {percent(score)}"
        if not options.quiet:
            console.print(shown(f"{number}/{options.trials}  {what}  {words}"), soft_wrap=True)

    try:
        tuned = tune(tuning, options.out, options.trials, watch)
    except KeyboardInterrupt as stop:
        text = "stopped; the same command goes on where it was."
        raise Stopped(text, getattr(stop, "by", 2)) from None
    if not options.quiet:
        best = {**tuned.parameters, **tuned.overrides}
        words = ", ".join(f"{n} {v:.4g}" for n, v in best.items() if isinstance(v, (int, float)))
        console.print(
            shown(f"best of {tuned.trials}: {words}; {percent(tuned.score)} %"), soft_wrap=True
        )
        console.print(shown(f"protocol: {tuned.protocol}"), soft_wrap=True)
        file = options.out / "tuned.json"
        console.print(shown(f"for holdfast grid --tuned {file}"), soft_wrap=True)
    return 0
