"""``holdfast compare RUNS...``: runs side by side, with what their differences can and cannot say."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.console import Console

from holdfast.cli.options import File, Positional, Text
from holdfast.cli.output_file import refuse_taken, write_file
from holdfast.cli.reading import read
from holdfast.cli.terminal import Terminal
from holdfast.compare.comparison import Comparison, compare
from holdfast.compare.formats import FORMATS, terminal
from holdfast.compare.runs import read_runs
from holdfast.core.errors import ConfigError
from holdfast.core.grammar import listed

Pair = Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="A:B")]


@dataclass(frozen=True)
class Compare:
    """Put runs side by side: paired differences, their intervals, and what so few runs cannot show.

    Args:
        runs: folders of runs, or folders that hold such folders, from any machine.
        baseline: the method with which all are compared; by default finetune, or the first by name.
        metric: what is compared: final, average, forgetting, backward_transfer, learned, task_il,
            right_task, right_class, intransigence, calibration_error, nll, brier, auroc, oscr, images,
            bytes, past_bytes, seconds, or another one that the JSON names.
        margin: within which two methods count as the same, in points.
        contrast: pairs of methods named beforehand, as a:b, over which the p are corrected; without
            any, all are compared with the baseline. Names as the table shows them.
        weighting: of the tasks, in all figures: by their test images, or equal.
        forgetting: which variant: best before the last task (max_before), best of all (max_all), or
            the value when it was learned (first).
        readout: which one of each run: a name, reported, or all.
        across: what may differ within one table: protocol, backbone, data, split.
        format: table, csv, markdown, latex or json; by default what --out ends in.
        out: file that is written; by default standard output.
        overwrite: replace the file.
    """

    runs: Positional[tuple[Path, ...]]
    baseline: Text = None
    metric: str = "final"
    margin: float = 0.5
    contrast: Pair = ()
    weighting: Literal["mean_images", "mean_tasks"] = "mean_images"
    forgetting: Literal["max_before", "max_all", "first"] = "max_before"
    readout: str = "reported"
    across: Text = None
    format: Literal["auto", "table", "csv", "markdown", "latex", "json"] = "auto"
    out: File = None
    overwrite: bool = False


ENDINGS = {".csv": "csv", ".md": "markdown", ".tex": "latex", ".json": "json", ".txt": "table"}


def compare_command(arguments: list[str], console: Console) -> int:
    """Read the flags, compare, and print or write."""
    options = read(Compare, arguments, "holdfast compare")
    form = _form(options)
    if options.out is not None:
        refuse_taken(options.out, options.overwrite)
    comparison = compared(options)
    if options.out is None and form == "table":
        console.print(terminal(comparison))
    elif options.out is None:
        print(FORMATS[form](comparison), end="")  # noqa: T201
    else:
        write(options.out, form, comparison)
        console.print(f"written: {options.out}", markup=False, soft_wrap=True)
    return 0


def compared(options: Compare) -> Comparison:
    """The comparison that was asked for (ConfigError, StoreError)."""
    cells, notes = read_runs(options.runs, options.readout)
    return compare(
        cells, options.baseline or "", options.metric, options.margin, pairs_of(options.contrast),
        options.weighting, options.forgetting, listed(options.across or ""), notes,
    )  # fmt: skip


def pairs_of(texts: tuple[str, ...]) -> list[tuple[str, str]]:
    """Pairs of methods from texts such as ``lwf:finetune``.

    Raises:
        ConfigError: for a text that is no pair.

    >>> pairs_of(("lwf:finetune", "lwf + elr:weight=3:lwf"))  # a setting is no other method
    [('lwf', 'finetune'), ('lwf + elr:weight=3', 'lwf')]
    """
    pairs = [tuple(side.strip() for side in re.split(r":(?!\w+=)", text)) for text in texts]
    for text, pair in zip(texts, pairs):
        if len(pair) != 2 or not all(pair):
            raise ConfigError(f"--contrast {text} is no pair: write for example lwf:finetune.")
    return [(a, b) for a, b in pairs]


def write(path: Path, form: str, comparison: Comparison) -> None:
    """A comparison into a file, whole or not at all (ConfigError if it cannot be written)."""

    def put(to: Path) -> None:
        with to.open("w", encoding="utf-8") as file:
            if form == "table":
                Terminal(file=file, width=160, highlight=False).print(terminal(comparison))
            else:
                file.write(FORMATS[form](comparison))

    write_file(path, put)


def _form(options: Compare) -> str:
    if options.format != "auto":
        return options.format
    if options.out is None:
        return "table"
    meant = ENDINGS.get(options.out.suffix.lower())
    if meant is None:
        raise ConfigError(
            f"the name {options.out} does not say a format: add --format table, csv, markdown, latex "
            "or json."
        )
    return meant
