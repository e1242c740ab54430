"""Result: everything a run says about itself."""

from __future__ import annotations

import json
import math
import platform
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path

import torch

from holdfast.memory.meter import Holdings
from holdfast.memory.protocol import Protocol
from holdfast.metrics.accuracy import Accuracy
from holdfast.stream.content import content_fingerprint
from holdfast.stream.task import Stream

FORMAT = 2  # of result.json: 1 named no format, no content of the data and no right task


@dataclass
class TaskNote:
    """What learning one task took and what was held when it ended.

    Attributes:
        few: its distinct inputs, where they were too few to train on; else 0.
    """

    classes: list[str]
    images: int
    epochs: int
    seconds: float
    peak_memory_bytes: int
    holdings: Holdings
    few: int = 0


@dataclass
class Reading:
    """What one readout decided: its own protocol, both accuracy matrices, and how far to believe it.

    Attributes:
        drift_residuals: of every drift map it fitted, task by task: the share of the features'
            movement that a held-out fifth left unexplained; None where nothing moved.
        drift_forecasts: of the same maps: the share of the movement of classes left out that the map of
            the task's other classes leaves, 1 being no better than no map; None with one class.
        calibration_error: expected, of its probabilities on all test rows seen when the last
            finished task ended.
        right_task: share of the rows of each task that are given a class of that task, right or not.
        by_task: after each finished task, how far its probabilities can be believed
            (`calibration_figures`), and how well it tells classes of later tasks (`openset_figures`).
        stored: what this readout needs of the past, as of `Holdings`, when the last task ended; images
            that another readout of the run trains on are not its own.
    """

    protocol: str
    class_il: Accuracy
    task_il: Accuracy
    drift_residuals: list[float | None] = field(default_factory=list)
    drift_forecasts: list[float | None] = field(default_factory=list)
    calibration_error: float | None = None
    right_task: Accuracy | None = None
    by_task: list[dict[str, float | None]] = field(default_factory=list)
    stored: dict[str, int] = field(default_factory=dict)


@dataclass
class Result:
    """The figures of a run; the last model is the one reported.

    Attributes:
        readings: by readout name; ``readout`` names the one the run is reported by.
        tasks: one note a finished task.
        data: what was learned: name, scenario, class names and order, fingerprint.
        config: every parameter of the run.
        status: ``running``, ``complete``, or why it stopped.
    """

    recipe: str
    protocol: str
    readout: str
    readings: dict[str, Reading] = field(default_factory=dict)
    tasks: list[TaskNote] = field(default_factory=list)
    data: Mapping[str, object] = field(default_factory=dict)
    config: Mapping[str, object] = field(default_factory=dict)
    status: str = "running"

    @classmethod
    def blank(
        cls,
        recipe: str,
        protocol: str,
        readout: str,
        readings: Mapping[str, Protocol],
        stream: Stream,
    ) -> Result:
        """A result with empty matrices, for a run that starts; readings are protocols by readout."""
        sizes = torch.tensor([len(task.test) for task in stream])
        blank = torch.full((len(sizes), len(sizes)), torch.nan)
        data = {
            "stream": stream.name,
            "scenario": stream.scenario,
            "classes": list(stream.names),
            "order": list(stream.order),
            "tasks": [list(task.classes) for task in stream],
            "fingerprint": stream.fingerprint(),
            "content": content_fingerprint(stream),
        }
        matrix = lambda: Accuracy(blank.clone(), sizes)
        filled = {
            name: Reading(str(p), matrix(), matrix(), right_task=matrix())
            for name, p in readings.items()
        }
        return cls(recipe, protocol, readout, filled, data=data)

    @property
    def class_il(self) -> Accuracy:
        """Class-incremental accuracies by the reported readout."""
        return self.readings[self.readout].class_il

    @property
    def task_il(self) -> Accuracy:
        """Task-incremental accuracies by the reported readout."""
        return self.readings[self.readout].task_il

    @property
    def holdings(self) -> Holdings:
        """What was held at the end of the last finished task."""
        return self.tasks[-1].holdings if self.tasks else Holdings()

    def to_dict(self) -> dict[str, object]:
        """The content of result.json."""
        main = self.readings[self.readout]
        holdings = asdict(self.holdings)
        past = {"floats": holdings.pop("past_floats"), "bytes": holdings.pop("past_bytes")}
        return {
            "format": FORMAT,
            "recipe": self.recipe,
            "status": self.status,
            "protocol": self.protocol,
            "readout": self.readout,
            "class_il": main.class_il.to_dict(),
            "task_il": main.task_il.to_dict(),
            "backward_transfer": main.class_il.to_dict()["backward_transfer"],
            "memory": holdings
            | {"past_network": past, "by_task": [asdict(t.holdings) for t in self.tasks]},
            "readouts": {
                name: {
                    "protocol": r.protocol,
                    "class_il": r.class_il.to_dict(),
                    "task_il": r.task_il.to_dict(),
                    "right_task": None
                    if r.right_task is None
                    else r.right_task.to_dict()["matrix"],
                    "drift_residuals": [_finite(v) for v in r.drift_residuals],
                    "drift_forecasts": [_finite(v) for v in r.drift_forecasts],
                    "calibration_error": _finite(r.calibration_error),
                    "by_task": [{k: _finite(v) for k, v in one.items()} for one in r.by_task],
                    "stored": dict(r.stored),
                }
                for name, r in self.readings.items()
            },
            "tasks": [
                {k: v for k, v in asdict(task).items() if k != "holdings"} for task in self.tasks
            ],
            "seconds": round(sum(task.seconds for task in self.tasks), 3),
            "data": dict(self.data),
            "config": dict(self.config),
            "environment": environment(),
        }

    def to_json(self) -> str:
        """The text of result.json."""
        return json.dumps(self.to_dict(), indent=2, default=str, allow_nan=False) + "\n"


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else round(value, 6)


def environment() -> dict[str, object]:
    """Versions of what computes, the machine's kind, and the commit if run from a checkout."""
    names = ("holdfast", "torch", "lightning-fabric", "numpy", "scikit-learn")
    return {
        "versions": {"python": platform.python_version()} | {name: version(name) for name in names},
        "machine": platform.machine(),
        "threads": torch.get_num_threads(),
        "git_commit": _commit(),
    }


def _commit() -> str | None:
    """The commit of the checkout this package runs from, ``+changes`` when the tree differs from it."""
    here = Path(__file__).parent
    if not (here.parents[1] / ".git").exists():
        return None
    asked = [["git", "rev-parse", "HEAD"], ["git", "status", "--porcelain", "--untracked-files=no"]]
    try:
        head, changes = (
            subprocess.run(a, cwd=here, capture_output=True, text=True, check=True).stdout.strip()
            for a in asked
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return head + ("+changes" if changes else "")


def peak_memory(device: torch.device) -> int:
    """Bytes at the peak so far: of the GPU's allocator, or of the whole process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource  # POSIX alone has it
    except ImportError:
        import psutil

        info = psutil.Process().memory_info()
        return int(getattr(info, "peak_wset", info.rss))
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
