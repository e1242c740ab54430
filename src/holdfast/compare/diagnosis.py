"""What a run's diagnostics.json says, read with care: figures after each task, verdicts, an embedding."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from holdfast.core.errors import StoreError

FORMAT = 1  # of diagnostics.json, the newest that is understood
LARGEST = 32 * 2**20  # bytes of one file
FILE = "diagnostics.json"
Point = tuple[float, float]


@dataclass(frozen=True)
class Embedding:
    """Watched rows in a plane, and the prototypes of their classes.

    Attributes:
        points, labels: a place and a class for each row.
        prototypes, prototype_labels: the same for prototypes.
        explained: share of the variance that the plane shows; nan where nothing says.
    """

    points: Sequence[Point]
    labels: Sequence[int]
    prototypes: Sequence[Point]
    prototype_labels: Sequence[int]
    explained: float


@dataclass(frozen=True)
class After:
    """What was measured after one task.

    Attributes:
        task: its index.
        figures: by name; nan where one is not defined.
        reasons: why not, by name.
        verdicts: sentences.
        embedding: None where there is none.
    """

    task: int
    figures: Mapping[str, float]
    reasons: Mapping[str, str] = field(default_factory=dict)
    verdicts: Sequence[str] = ()
    embedding: Embedding | None = None


@dataclass(frozen=True)
class Diagnosis:
    """The diagnostics of a run.

    Attributes:
        rows, source: how many rows were watched, and where they are from.
        seconds: that it took.
        explain: of each figure: its title, unit, which way is better, and the section of the theory.
        tasks: what was measured, in order.
    """

    rows: int
    source: str
    seconds: float
    explain: Mapping[str, Mapping[str, Any]]
    tasks: Sequence[After]

    @property
    def names(self) -> list[str]:
        """Every figure, in the order of the file."""
        names = [*self.explain, *(name for one in self.tasks for name in one.figures)]
        return [n for n in dict.fromkeys(names) if any(n in one.figures for one in self.tasks)]

    def title(self, name: str) -> str:
        """A figure's title with its unit."""
        about = self.explain.get(name, {})
        unit = str(about.get("unit") or "")
        return f"{about.get('title') or name}{', ' * bool(unit)}{unit}"


def read_diagnosis(folder: Path) -> Diagnosis | None:
    """The diagnostics beside a run's result; None for none.

    Raises:
        StoreError: for a file that is damaged, or of a later version.
    """
    file = folder / FILE
    try:
        if not file.is_file():
            return None
        if file.stat().st_size > LARGEST:
            raise ValueError(f"it has more than {LARGEST >> 20} MiB")
        data = json.loads(file.read_text("utf-8"))
        if not isinstance(data["format"], int) or data["format"] > FORMAT:
            raise ValueError(f"its format is {data['format']}, and this version reads {FORMAT}")
        watched = data.get("watched") or {}
        return Diagnosis(
            int(watched.get("rows") or 0), str(watched.get("source") or ""),
            _number(data.get("seconds")), dict(data.get("explain") or {}),
            [_after(one) for one in data["tasks"]],
        )  # fmt: skip
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise StoreError(
            f"{file} cannot be read ({type(error).__name__}: {error}): diagnose that run again."
        ) from None


def _after(data: Mapping[str, Any]) -> After:
    drawn = data.get("embedding")
    return After(
        int(data["task"]),
        {str(name): _number(value) for name, value in dict(data["figures"]).items()},
        {str(name): str(why) for name, why in dict(data.get("reasons") or {}).items()},
        [str(words) for words in data.get("verdicts") or ()],
        None if drawn is None else _embedding(drawn),
    )


def _embedding(data: Mapping[str, Any]) -> Embedding | None:
    """A plane of places; None for one without rows."""
    points, labels = _places(data, "points", "labels")
    if not points:
        return None
    prototypes, whose = _places(data, "prototypes", "prototype_labels")
    return Embedding(points, labels, prototypes, whose, _number(data.get("explained")))


def _places(data: Mapping[str, Any], name: str, labels: str) -> tuple[list[Point], list[int]]:
    """Places with their labels; what is no number is left out, with its label."""
    rows: list[tuple[Any, Any]] = list(zip(data.get(name) or (), data.get(labels) or ()))
    pairs = [((_number(place[0]), _number(place[1])), int(label)) for place, label in rows]
    known = [(place, label) for place, label in pairs if math.isfinite(sum(place))]
    return [place for place, _ in known], [label for _, label in known]


def _number(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) else math.nan
