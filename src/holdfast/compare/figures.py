"""The figures of one run, all by one weighting of the tasks and one named variant of forgetting."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from holdfast.compare.cell import Cell

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
        digits: after the point, of what is shown.
    """

    title: str
    scale: float = 100.0
    unit: str = "%"
    better: int = 1
    digits: int = 1


FIGURES = {
    "final": Figure("Class-IL"),
    "average": Figure("average"),
    "average_by_classes": Figure("average by classes"),
    "forgetting": Figure("forgetting", better=-1),
    "backward_transfer": Figure("backward transfer"),
    "learned": Figure("when learned"),
    "intransigence": Figure("intransigence", better=-1),
    "task_il": Figure("Task-IL"),
    "right_task": Figure("right task"),
    "right_class": Figure("right class in it"),
    "calibration_error": Figure("calibration error", better=-1),
    "calibration_floor": Figure("floor", better=-1),
    "adaptive_calibration_error": Figure("adaptive error", better=-1),
    "calibration_error_old": Figure("error, old", better=-1),
    "calibration_error_new": Figure("error, new", better=-1),
    "nll": Figure("NLL", 1.0, "nats", -1, 2),
    "brier": Figure("Brier", 1.0, "", -1, 3),
    "auroc": Figure("AUROC"),
    "average_precision": Figure("AUPR"),
    "unknown_share": Figure("unknown"),
    "fpr_at_known95": Figure("FPR at 95 known", better=-1),
    "fpr_at_unknown95": Figure("FPR at 95 unknown", better=-1),
    "oscr": Figure("OSCR"),
    "images": Figure("images", 1.0, "", -1),
    "bytes": Figure("bytes", 1.0, "bytes", -1),
    "past_bytes": Figure("past network", 1.0, "bytes", -1),
    "seconds": Figure("seconds", 1.0, "s", -1),
}


BELIEF = (
    "calibration_floor", "adaptive_calibration_error", "calibration_error_old",
    "calibration_error_new", "nll", "brier",
)  # fmt: skip
UNKNOWN = (
    "auroc", "average_precision", "unknown_share", "fpr_at_known95", "fpr_at_unknown95", "oscr",
)  # fmt: skip


def figures_of(
    cell: Cell,
    weighting: Weighting = "mean_images",
    forgetting: Variant = "max_before",
    joint: Cell | None = None,
) -> dict[str, float]:
    """Every figure of a run; nan where it is not defined (docs/theory.md, section 14).

    Args:
        cell: the run.
        weighting: of the tasks, in all figures alike: by test images, or equal.
        forgetting: ``max_before`` the last row, ``max_all`` rows, or the ``first`` value R[j, j].
        joint: the run of the same block that learned every task with all data so far, for
            ``intransigence``: the mean over j of its R[j, j] less this run's.
    """
    R, T = cell.class_il, len(cell.sizes)
    weights = cell.sizes if weighting == "mean_images" else np.ones(T)
    final = _mean(R[-1], weights)
    right = math.nan if cell.right_task is None else _mean(cell.right_task[-1], weights)
    learned = _mean(np.diagonal(R), weights)
    seen = np.array([_mean(R[i, : i + 1], weights[: i + 1]) for i in range(T)])
    return {
        "final": final,
        "average": float(seen.mean()),
        "average_by_classes": _mean(seen, _fresh_classes(cell)),
        "forgetting": _forgetting(R, weights, forgetting, last_learned(cell)),
        "backward_transfer": -_forgetting(R, weights, "first", last_learned(cell)),
        "learned": learned,
        "intransigence": _mean(np.diagonal(joint.class_il), weights) - learned
        if joint is not None and len(joint.sizes) == T
        else math.nan,
        "task_il": _mean(cell.task_il[-1], weights),
        "right_task": right,
        "right_class": final / right if right else math.nan,
        "calibration_error": _number(cell.calibration_error),
        **{
            name: _number(cell.by_task[-1].get(name)) if cell.by_task else math.nan
            for name in BELIEF
        },
        **{name: _over_tasks(cell, name) for name in UNKNOWN},
        "images": cell.stored["images"],
        "bytes": cell.stored["bytes"],
        "past_bytes": cell.stored["past_bytes"],
        "seconds": cell.seconds,
    }


def last_learned(cell: Cell) -> list[int]:
    """For each task, the last one that brought any of its classes: itself, unless they came again."""
    if not cell.classes:
        return list(range(len(cell.sizes)))
    return [max(i for i, other in enumerate(cell.classes) if other & one) for one in cell.classes]


def _fresh_classes(cell: Cell) -> Float[np.ndarray, " t"]:
    """(T,) classes that a task brought for the first time; 1 where all tasks have the same."""
    if not cell.classes:
        return np.ones(len(cell.sizes))
    before = [frozenset().union(*cell.classes[:i]) for i in range(len(cell.classes))]
    return np.array([len(task - seen) for task, seen in zip(cell.classes, before)], float)


def _over_tasks(cell: Cell, name: str) -> float:
    """The mean over the tasks after which there were classes that had not come; nan for none."""
    values = [_number(one.get(name)) for one in cell.by_task]
    known = [value for value in values if math.isfinite(value)]
    return float(np.mean(known)) if known else math.nan


def _number(value: object) -> float:
    return float(value) if isinstance(value, (int, float)) else math.nan


def _mean(values: Float[np.ndarray, " t"], weights: Float[np.ndarray, " t"]) -> float:
    return float((values * weights).sum() / weights.sum())


def _forgetting(
    R: Float[np.ndarray, "t t"],
    weights: Float[np.ndarray, " t"],
    variant: Variant,
    learned: Sequence[int],
) -> float:
    """mean_j (best_j - R[T-1, j]) over tasks that were last learned before the last; nan for none.

    The best is over rows i from the one on in which the task was last ``learned``.
    """
    last = len(R) - 1
    old = [j for j, at in enumerate(learned) if at < last]
    if not old:
        return math.nan
    ends = {
        "first": lambda at: at + 1,
        "max_before": lambda at: last,
        "max_all": lambda at: last + 1,
    }
    best = [float(R[learned[j] : ends[variant](learned[j]), j].max()) for j in old]
    return _mean(np.array(best) - R[last, old], weights[old])
