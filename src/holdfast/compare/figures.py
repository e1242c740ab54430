"""The figures of one run, all by one weighting of the tasks and one named variant of forgetting."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from holdfast.compare.runs import Cell

Weighting = Literal["mean_images", "mean_tasks"]
Variant = Literal["max_before", "max_all", "first"]


@dataclass(frozen=True)
class Figure:
    """What a figure is.

    Attributes:
        title: for the head of a column.
        scale: what the stored number is multiplied by to be shown.
        unit: of what is shown.
        better: 1 where more is better, -1 where less is.
    """

    title: str
    scale: float = 100.0
    unit: str = "%"
    better: int = 1


FIGURES = {
    "final": Figure("Class-IL"),
    "average": Figure("average"),
    "forgetting": Figure("forgetting", better=-1),
    "backward_transfer": Figure("backward transfer"),
    "learned": Figure("when learned"),
    "task_il": Figure("Task-IL"),
    "right_task": Figure("right task"),
    "right_class": Figure("right class in it"),
    "calibration_error": Figure("calibration error", better=-1),
    "images": Figure("images", 1.0, "", -1),
    "bytes": Figure("bytes", 1.0, "bytes", -1),
    "past_bytes": Figure("past network", 1.0, "bytes", -1),
    "seconds": Figure("seconds", 1.0, "s", -1),
}


def figures_of(
    cell: Cell, weighting: Weighting = "mean_images", forgetting: Variant = "max_before"
) -> dict[str, float]:
    """Every figure of a run; nan where it is not defined (docs/theory.md, section 14).

    Args:
        cell: the run.
        weighting: of the tasks, in all figures alike: by test images, or equal.
        forgetting: ``max_before`` the last row, ``max_all`` rows, or the ``first`` value R[j, j].
    """
    R, T = cell.class_il, len(cell.sizes)
    weights = cell.sizes if weighting == "mean_images" else np.ones(T)
    final = _mean(R[-1], weights)
    right = math.nan if cell.right_task is None else _mean(cell.right_task[-1], weights)
    error = cell.calibration_error
    return {
        "final": final,
        "average": float(np.mean([_mean(R[i, : i + 1], weights[: i + 1]) for i in range(T)])),
        "forgetting": _forgetting(R, weights, forgetting),
        "backward_transfer": -_forgetting(R, weights, "first"),
        "learned": _mean(np.diagonal(R), weights),
        "task_il": _mean(cell.task_il[-1], weights),
        "right_task": right,
        "right_class": final / right if right else math.nan,
        "calibration_error": math.nan if error is None else float(error),
        "images": cell.stored["images"],
        "bytes": cell.stored["bytes"],
        "past_bytes": cell.stored["past_bytes"],
        "seconds": cell.seconds,
    }


def _mean(values: Float[np.ndarray, " t"], weights: Float[np.ndarray, " t"]) -> float:
    return float((values * weights).sum() / weights.sum())


def _forgetting(
    R: Float[np.ndarray, "t t"], weights: Float[np.ndarray, " t"], variant: Variant
) -> float:
    """mean_{j < T-1} (best_j - R[T-1, j]); nan for one task."""
    last = len(R) - 1
    if last < 1:
        return math.nan
    if variant == "first":
        best = np.diagonal(R)[:last]
    else:
        rows = R[:last] if variant == "max_before" else R
        best = np.nanmax(rows[:, :last], 0)
    return _mean(best - R[last, :last], weights[:last])
