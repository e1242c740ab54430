"""A grid carried out in a folder: finished runs are skipped, stopped ones go on, failed ones listed."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from holdfast.compare.engine import Engine, engine_named
from holdfast.compare.plan import Grid, Job, described_grid
from holdfast.compare.work import Outcome, pixels_beside
from holdfast.core.errors import ConfigError
from holdfast.store.atomic import atomic_write
from holdfast.store.folder import make_folder
from holdfast.store.lock import locked

RUNS, FAILED = "runs", "failed"


@dataclass
class Sweep:
    """How far a grid is.

    Attributes:
        jobs: all of its runs.
        skipped: names of those that were complete before.
        outcomes: of those that ended since, by name.
        shares: how much of each run that is going on is done.
        workers: processes at a time.
    """

    jobs: Sequence[Job]
    skipped: set[str] = field(default_factory=set)
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    shares: dict[str, float] = field(default_factory=dict)
    workers: int = 1

    @property
    def failed(self) -> list[Outcome]:
        """The runs that failed."""
        return [outcome for outcome in self.outcomes.values() if outcome.error]

    @property
    def ended(self) -> int:
        """How many runs are over."""
        return len(self.skipped) + len(self.outcomes)

    def left(self) -> float | None:
        """Seconds until all is done, by what runs of the same recipe, or any, took; None if none ended."""
        took: dict[str, list[float]] = {}
        recipes = {job.name: job.recipe for job in self.jobs}
        for name, outcome in self.outcomes.items():
            if not outcome.error:
                took.setdefault(recipes[name], []).append(outcome.seconds)
        every = [seconds for values in took.values() for seconds in values]
        if not every:
            return None
        total = 0.0
        for job in self.jobs:
            if job.name in self.skipped or job.name in self.outcomes:
                continue
            values = took.get(job.recipe, every)
            total += sum(values) / len(values) * (1 - self.shares.get(job.name, 0.0))
        return total / max(1, min(self.workers, len(self.jobs) - self.ended))


Watch = Callable[[Sweep, Job, Outcome | None], object]


def run_grid(
    grid: Grid,
    out: str | Path,
    workers: int = 0,
    threads: int = 1,
    watch: Watch = lambda sweep, job, outcome: None,
    engine: str | Engine = "pool",
    address: str = "",
) -> Sweep:
    """Carry out a grid in a folder; called again, it goes on where it was stopped, however that was.

        >>> from holdfast.compare import Grid, run_grid
        >>> sweep = run_grid(Grid(["lwf", "fnc2"], seeds=3), "grid")  # doctest: +SKIP

    Args:
        grid: what is run.
        out: the folder; each run has its own below ``runs/``, each traceback a file below ``failed/``.
        workers: processes at a time; 0 takes as many as there are cores for, 1 this process (on a
            cluster: one of its processes).
        threads: of torch, in each.
        watch: called when a run has gone on, or ended with an outcome.
        engine: what carries the runs out: ``pool``, processes of this machine; ``ray``, a Ray cluster;
            or an `Engine` that is set up already, to which workers, threads and address do not matter.
        address: of the cluster, as HOST:PORT; empty takes the one of this machine, or starts one.

    Raises:
        ConfigError: for a grid that cannot run, a folder that is no grid's, a cluster that cannot be
            reached or whose nodes do not see the folder.
        StoreError: if another grid is at work in the folder.
    """
    out = Path(out)
    if isinstance(engine, str):
        engine = engine_named(engine, workers, threads, address)
    if out.exists() and not _is_grid(out):
        raise ConfigError(f"{out} holds no grid: choose a folder that is empty or not there.")
    make_folder(out, exist_ok=True)
    with locked(out / ".lock", f"the grid in {out}"), engine.ready(out / RUNS) as carry_out:
        jobs = grid.jobs(pixels_beside(out / RUNS))
        text = json.dumps(described_grid(grid, jobs), indent=2, default=str) + "\n"
        atomic_write(out / "grid.json", lambda to: to.write_text(text))
        sweep = Sweep(jobs, workers=engine.workers)
        sweep.skipped = {job.name for job in jobs if is_complete(out / RUNS / job.name)}
        todo = [job for job in jobs if job.name not in sweep.skipped]
        for job, word in carry_out(todo):
            _note(sweep, job, word, out)
            watch(sweep, job, word if isinstance(word, Outcome) else None)
        return sweep


def _note(sweep: Sweep, job: Job, word: float | Outcome, out: Path) -> None:
    """Keep how far a run is, or how it ended."""
    if isinstance(word, Outcome):
        sweep.outcomes[job.name] = word
        sweep.shares.pop(job.name, None)
        _note_failure(out / FAILED / f"{job.name}.txt", word)
    else:
        sweep.shares[job.name] = word


def is_complete(path: Path) -> bool:
    """Whether a run came to its end in a folder."""
    try:
        return json.loads((path / "result.json").read_text()).get("status") == "complete"
    except (OSError, ValueError, AttributeError):
        return False


def _note_failure(path: Path, outcome: Outcome) -> None:
    """The traceback of a run that failed; none of one that did not, also if it failed before."""
    if outcome.error:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, lambda to: to.write_text(outcome.trace, "utf-8"))
        return
    path.unlink(missing_ok=True)
    with suppress(OSError):
        path.parent.rmdir()


def _is_grid(path: Path) -> bool:
    """Whether a grid may work in a folder: one that has before, or an empty one."""
    if not path.is_dir():
        return False
    names = {entry.name for entry in path.iterdir()}
    return "grid.json" in names or names <= {".lock", ".lock.pid", ".grid.part.json"}
