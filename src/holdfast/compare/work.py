"""One run of a grid, carried out in its folder, from where it stands to its end."""

from __future__ import annotations

import functools
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from holdfast.compare.arrival import Data
from holdfast.compare.plan import Job
from holdfast.core.errors import HoldfastError
from holdfast.recipes.method import Method
from holdfast.recipes.presets import find_preset
from holdfast.store.folder import RunFolder
from holdfast.stream import Source
from holdfast.train.events import Epoch, TaskDone
from holdfast.train.runner import Run

if TYPE_CHECKING:
    from holdfast.diagnose.diagnoser import Diagnoser

Share = Callable[[float], object]  # is told how much of a run is done, from 0 to 1
PAUSE = 0.5  # seconds between two words of a run on how far it is


@dataclass(frozen=True)
class Outcome:
    """How a run of a grid ended.

    Attributes:
        name: of its folder.
        figure: final Class-IL accuracy; None for a run that failed.
        seconds: of learning, all tries together.
        error: in one line; empty for a run that is complete.
        trace: the traceback.
    """

    name: str
    figure: float | None = None
    seconds: float = 0.0
    error: str = ""
    trace: str = ""


Word = tuple[Job, float | Outcome]  # how much of a run is done, or how it ended


def ended_from_outside(name: str, tries: int, how: str) -> Outcome:
    """The outcome of a run whose process was ended again and again."""
    text = f"its process was ended from outside {tries} times ({how}); memory may be short"
    return Outcome(name, error=text, trace=f"{text}\n")


def attempt(job: Job, root: Path, share: Share) -> Outcome:
    """Carry out a run; whatever it raises becomes its outcome."""
    try:
        return carry_out(job, root, share)
    except Exception as error:  # one run must not end the others
        line = str(error).partition("\n")[0] or type(error).__name__
        kind = "" if isinstance(error, HoldfastError) else f"{type(error).__name__}: "
        return Outcome(job.name, error=f"{kind}{line}", trace=traceback.format_exc())


def carry_out(job: Job, root: Path, share: Share) -> Outcome:
    """Learn a run to its end in its folder below a root, from its last checkpoint on.

    Raises:
        HoldfastError: for what a run may raise.
    """
    work = prepared(job)
    folder = RunFolder(root / job.name, resume=True, pictures=False)
    if folder.state is not None:
        work.restore(folder.state)
    training, tasks = work.continual.setup.training, len(work.stream)
    ends = [sum(training.epochs_of(t) for t in range(n)) for n in range(tasks + 1)]
    if not folder.complete:
        look = _diagnoser(work, folder) if job.diagnose else None
        for event in work.events():
            folder(event)
            if look is not None:
                look(work, event)
            if isinstance(event, Epoch):
                share((ends[event.task] + event.epoch + 1) / max(ends[-1], 1))
            if work.result.status != "complete":
                folder.keep(work.state, must=isinstance(event, TaskDone))
    seconds = sum(note.seconds for note in work.result.tasks)
    return Outcome(job.name, work.result.class_il.final, seconds)


def _diagnoser(work: Run, folder: RunFolder) -> Diagnoser:
    from holdfast.diagnose.diagnoser import Diagnoser  # which most runs do not need

    return Diagnoser(work.stream, folder.path, done=work.progress.task)


def prepared(job: Job, change: Callable[[Method], Method] = lambda method: method) -> Run:
    """The run of a job before it learns.

    Args:
        job: the run.
        change: of its method, for who looks into it.
    """
    data = job.data
    preset = find_preset(job.preset, stream=data.stream)
    stream = data.cut(_source(_unordered(data)), preset)
    blueprint = job.blueprint(stream, preset)
    work = Run(change(blueprint.method()), stream, blueprint.setup)
    work.result.config = work.config | {
        "recipe": dict(blueprint.parameters),
        "stream": asdict(data),
        "preset": preset.provenance,
        "cell": {"key": job.key},
    }
    if job.tuning:
        work.result.config = dict(work.result.config) | {"tuning": dict(job.tuning)}
    return work


def _unordered(data: Data) -> Data:
    return Data(**{**asdict(data), "order_seed": None})


@functools.lru_cache(maxsize=1)
def _source(data: Data) -> Source:
    """The data of the last run, which the next one mostly shares."""
    return data.source()
