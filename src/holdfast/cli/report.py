"""``holdfast report RUNS... -o FILE.html``: a comparison as one page that opens offline."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.console import Console

from holdfast.cli.compare import Pair, pairs_of
from holdfast.cli.options import Positional, Text
from holdfast.cli.output_file import refuse_taken, write_file
from holdfast.cli.reading import read
from holdfast.compare.comparison import compare
from holdfast.compare.page import page_of
from holdfast.compare.runs import read_runs
from holdfast.core.grammar import listed


@dataclass(frozen=True)
class Report:
    """Write a comparison of runs as one page of HTML that opens offline.

    Args:
        runs: folders of runs, or folders that hold such folders, from any machine.
        out: the file that is written.
        title: of the page.
        baseline: the method with which all are compared; by default finetune, or the first by name.
        metric: what is compared, see holdfast compare.
        margin: within which two methods count as the same, in points.
        contrast: pairs of methods named beforehand, as a:b, over which the p are corrected.
        weighting: of the tasks, in all figures: by their test images, or equal.
        forgetting: which variant, see holdfast compare.
        readout: which one of each run: a name, reported, or all.
        across: what may differ within one table: protocol, backbone, data, split.
        overwrite: replace the file.
    """

    runs: Positional[tuple[Path, ...]]
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    title: str = "Comparison"
    baseline: Text = None
    metric: str = "final"
    margin: float = 0.5
    contrast: Pair = ()
    weighting: Literal["mean_images", "mean_tasks"] = "mean_images"
    forgetting: Literal["max_before", "max_all", "first"] = "max_before"
    readout: str = "reported"
    across: Text = None
    overwrite: bool = False


def report_command(arguments: list[str], console: Console) -> int:
    """Read the flags, compare, and write the page."""
    options = read(Report, arguments, "holdfast report")
    refuse_taken(options.out, options.overwrite, "-o")
    cells, notes = read_runs(options.runs, options.readout)
    comparison = compare(
        cells, options.baseline or "", options.metric, options.margin, pairs_of(options.contrast),
        options.weighting, options.forgetting, listed(options.across or ""), notes,
    )  # fmt: skip
    text = page_of(comparison, options.title)
    write_file(options.out, lambda to: to.write_text(text, "utf-8"), "-o")
    size = f"{len(text.encode()) / 1024:,.0f} KiB"
    console.print(
        f"written: {options.out} ({len(cells)} runs, {size})", markup=False, soft_wrap=True
    )
    return 0
