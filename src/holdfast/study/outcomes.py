"""What is measured of each run: figures of its matrix, means of its log, and what its network does."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from holdfast.compare.cell import Cell
from holdfast.compare.figures import FIGURES, figures_of
from holdfast.compare.plan import Job
from holdfast.compare.runs import REPORTED, cells_of, read_result
from holdfast.study.network import NETWORK, of_network


@dataclass(frozen=True)
class Outcome:
    """How an outcome is shown.

    Attributes:
        title: at the head of a column.
        scale: what a stored number is multiplied by.
        digits: shown.
        better: 1 where more is better, -1 where less is.
    """

    title: str
    scale: float = 1.0
    digits: int = 2
    better: int = 1


PRIMARY = "final"
LOGGED = ("focal_weight", "pull_weight")  # means over all epochs
LAST = ("bank_nc2",)  # as the last epoch had it
OUTCOMES = {
    **{n: Outcome(f"{f.title}, %", f.scale, 1, f.better) for n, f in FIGURES.items() if f.scale == 100},
    "first_task": Outcome("task 1 now, %", 100.0, 1),
    "last_task": Outcome("last task, %", 100.0, 1),
    "focal_weight": Outcome("focal weight", digits=3),
    "pull_weight": Outcome("weight of the pull", digits=3),
    "nc1": Outcome("NC1", better=-1),
    "nc2": Outcome("NC2 of the means", better=-1),
    "bank_nc2": Outcome("NC2 of the prototypes", digits=3, better=-1),
    "separation": Outcome("separation"),
    "new_into_old": Outcome("new into old, %", 100.0, 1, -1),
    "old_into_new": Outcome("old into new, %", 100.0, 1, -1),
}  # fmt: skip


def measured(job: Job, folder: Path, outcomes: Sequence[str]) -> tuple[Cell, dict[str, float]]:
    """A complete run's cell, and the outcomes that are asked of it, as stored.

    Args:
        job: the run.
        folder: that it left.
        outcomes: names of `OUTCOMES`; the primary is always there.

    Raises:
        StoreError: for a result that is damaged.
    """
    (cell,) = cells_of(folder, read_result(folder / "result.json"), REPORTED)
    R = cell.class_il
    values = figures_of(cell) | {"first_task": float(R[-1, 0]), "last_task": float(R[-1, -1])}
    values |= logged(folder / "log.jsonl")
    if set(outcomes) & set(NETWORK):
        values |= of_network(job, folder)
    return cell, {name: values.get(name, math.nan) for name in (PRIMARY, *outcomes)}


def logged(file: Path) -> dict[str, float]:
    """Means of what a run's log has of focal weights, over the epochs of all tasks."""
    if not file.exists():
        return {}
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    means = {}
    for name in LOGGED:
        values = [line[name] for line in lines if name in line]
        if values:
            means[name] = float(np.mean(values))
    return means | {name: float(lines[-1][name]) for name in LAST if lines and name in lines[-1]}
