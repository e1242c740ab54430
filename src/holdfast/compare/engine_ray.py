"""The runs of a grid on a Ray cluster: a run whose process or node went away goes on elsewhere."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from holdfast.compare.board import Board
from holdfast.compare.cluster import Cluster, first_line
from holdfast.compare.engine import CarryOut, Engine
from holdfast.compare.plan import Job
from holdfast.compare.work import PAUSE, Outcome, Word, attempt, ended_from_outside
from holdfast.core.errors import ConfigError
from holdfast.core.registry import IMPORTED, import_named

SHARED = "choose an --out on storage that all nodes share, at the same path on each"
TRIES = 4  # of a run whose process or node went away: machines of a cluster may be taken back
ALONE = 60.0  # seconds to wait for a run that was taken for dead to let go of its folder


class RayCluster(Engine):
    """A Ray cluster; ``pip install 'holdfast[ray]'`` on this machine and on every node.

    Args:
        workers: runs at a time; 0 takes as many as the cluster has cores for, also nodes that join.
        threads: of torch, in each; so many cores are taken for a run.
        address: HOST:PORT; empty takes RAY_ADDRESS, the cluster of this machine, or starts one on it.

    Raises:
        ConfigError: if Ray is not installed.
    """

    def __init__(self, workers: int = 0, threads: int = 1, address: str = ""):
        self.cluster, self.limit, self.threads = Cluster(threads, address), workers, threads
        self.ray = self.cluster.ray

    @contextmanager
    def ready(self, root: Path) -> Iterator[CarryOut]:
        """See `Engine.ready`: connect, and see that every node can do its part."""
        root = root.resolve()
        with self.cluster.joined():
            root.mkdir(parents=True, exist_ok=True)
            token = root / f".seen-{uuid4().hex}"
            token.touch()
            try:
                cores = self.cluster.check(token, root, SHARED)
            finally:
                token.unlink(missing_ok=True)
            self.workers = self.limit or max(1, cores // self.threads)
            yield lambda jobs: self._carried_out(jobs, root)

    def _carried_out(self, jobs: Sequence[Job], root: Path) -> Iterator[Word]:
        """Submit runs, and yield how far they are and how they end."""
        ray = self.ray
        board = ray.remote(num_cpus=0, max_restarts=-1)(Board).remote()
        run = ray.remote(num_cpus=self.threads, max_retries=0)(_run)
        setting = (str(root), self.threads, sorted(IMPORTED), os.getcwd(), board)
        waiting, going = [(job, 1) for job in jobs], {}
        try:
            while waiting or going:
                while waiting and len(going) < (self.limit or len(jobs)):
                    job, tries = waiting.pop(0)
                    going[run.remote(job, *setting)] = (job, tries)
                done, _ = ray.wait(list(going), timeout=2 * PAUSE)
                for reference in done:
                    job, tries = going.pop(reference)
                    word = self._ended(reference, job, tries)
                    if word is None:
                        waiting.insert(0, (job, tries + 1))
                    else:
                        yield job, word
                yield from _shares(ray, board, going.values())
        finally:
            for reference in going:
                ray.cancel(reference, force=True)
            ray.kill(board)

    def _ended(self, reference: Any, job: Job, tries: int) -> Outcome | None:
        """How a run ended; None if it is to be tried again."""
        errors = self.ray.exceptions
        try:
            return self.ray.get(reference)
        except (errors.RayTaskError, errors.RuntimeEnvSetupError) as error:
            return Outcome(job.name, error=first_line(error), trace=f"{error}\n")
        except errors.RayError as error:  # its process or its node went away
            if tries < TRIES:
                return None
            return ended_from_outside(job.name, tries, first_line(error))


def _shares(ray: Any, board: Any, going: Any) -> Iterator[Word]:
    """How far the runs are that go on; nothing where nobody knows just now."""
    try:
        shares = ray.get(board.shares.remote(), timeout=PAUSE)
    except ray.exceptions.RayError:
        return
    for job, _ in list(going):
        if job.name in shares:
            yield job, shares[job.name]


def _run(
    job: Job, root: str, threads: int, imports: Sequence[str], folder: str, board: Any
) -> Outcome:
    """What a process of the cluster does with a run."""
    import torch
    from filelock import FileLock, Timeout

    with suppress(OSError):
        os.chdir(folder)  # where paths of data and of the user's modules begin
    torch.set_num_threads(threads)
    last = 0.0

    def share(value: float) -> None:
        nonlocal last
        if time.monotonic() - last > PAUSE:
            last = time.monotonic()
            board.note.remote(job.name, value)

    lock = Path(root) / f".{job.name}.lock"
    try:
        for name in imports:
            import_named(name)
        with FileLock(lock, timeout=ALONE):  # another process may have been taken for dead
            outcome = attempt(job, Path(root), share)
        lock.unlink(missing_ok=True)
        return outcome
    except (OSError, Timeout, ConfigError) as error:
        text = f"{platform.node()}: {first_line(error)}"
        return Outcome(job.name, error=text, trace=f"{text}\n")
