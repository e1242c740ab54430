"""diagnostics.json: what a diagnosis leaves in the folder of a run, and how it is read back."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from holdfast.core.errors import StoreError
from holdfast.diagnose.catalogue import FIGURES
from holdfast.diagnose.moment import Values
from holdfast.metrics import reason_of
from holdfast.store.atomic import atomic_write

NAME, FORMAT = "diagnostics.json", 1
LARGEST = 64 * 2**20  # bytes


@dataclass(frozen=True)
class TaskDiagnosis:
    """What was seen when a task had ended.

    Attributes:
        task: its index.
        figures: by name; None where there is none.
        reasons: why, by name.
        verdicts: sentences.
        embedding: points of the watched rows in two dimensions; empty where there are none.
    """

    task: int
    figures: dict[str, float | None]
    reasons: dict[str, str]
    verdicts: list[str]
    embedding: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, task: int, values: Values, verdicts: Sequence[str]) -> TaskDiagnosis:
        """From figures that may be missing."""
        figures = {name: _number(values[name]) for name in FIGURES}
        reasons = {name: _reason(values[name]) for name in FIGURES if figures[name] is None}
        return cls(task, figures, reasons, list(verdicts))


@dataclass(frozen=True)
class Diagnosis:
    """All of a run.

    Attributes:
        watched: how many rows, how many of a class, and from where.
        seconds: it took.
        tasks: in their order; tasks whose networks are not known are not there.
    """

    watched: Mapping[str, Any]
    seconds: float
    tasks: Sequence[TaskDiagnosis]

    def to_data(self) -> dict[str, Any]:
        """As diagnostics.json has it."""
        return {
            "format": FORMAT,
            "watched": dict(self.watched),
            "seconds": round(self.seconds, 3),
            "explain": {name: figure.to_data() for name, figure in FIGURES.items()},
            "tasks": [vars(task) for task in self.tasks],
        }

    def write(self, folder: Path) -> None:
        """Into the folder of a run, whole or not at all."""
        text = json.dumps(self.to_data(), allow_nan=False) + "\n"
        atomic_write(folder / NAME, lambda to: to.write_text(text, "utf-8"))


def read_diagnosis(folder: Path) -> Diagnosis | None:
    """What a diagnosis left in a folder; None if there is no file.

    Args:
        folder: of a run.

    Raises:
        StoreError: for a file that is damaged, or of a later version.
    """
    file = folder / NAME
    if not file.exists():
        return None
    try:
        if file.stat().st_size > LARGEST:
            raise ValueError(f"it has more than {LARGEST >> 20} MiB")
        data = json.loads(file.read_text("utf-8"))
        if data["format"] != FORMAT:
            raise StoreError(
                f"{file} has format {data['format']}, and this version reads {FORMAT}: update holdfast, "
                "or remove the file and diagnose the run again."
            )
        tasks = [TaskDiagnosis(**task) for task in data["tasks"]]
        return Diagnosis(data["watched"], float(data["seconds"]), tasks)
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise StoreError(
            f"{file} cannot be read ({type(error).__name__}: {error}): remove it, and diagnose the run "
            "again."
        ) from None


def _number(value: float) -> float | None:
    return float(f"{value:.6g}") if math.isfinite(value) else None


def _reason(value: float) -> str:
    return "it is infinite: the classes have no spread" if math.isinf(value) else reason_of(value)
