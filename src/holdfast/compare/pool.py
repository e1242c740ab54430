"""A few processes that carry out runs, one at a time each; one that is killed is replaced."""

from __future__ import annotations

import multiprocessing
import signal
import time
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path

from holdfast.compare.plan import Job
from holdfast.compare.work import PAUSE, Outcome, Word, attempt, ended_from_outside
from holdfast.core.parent import end_with_parent

TRIES = 2  # of a run whose process was ended from outside


def carried_out(
    jobs: Sequence[Job], root: Path, workers: int, threads: int, imports: Sequence[str] = ()
) -> Iterator[Word]:
    """Carry out runs, and yield how far they are and how they end.

    Args:
        jobs: in the order in which they are begun.
        root: below which each has its folder.
        workers: processes at a time; with one, runs are carried out in this process.
        threads: of torch, in each.
        imports: modules that hold parts of the user's own.
    """
    if workers == 1:
        yield from _here(jobs, root, threads)
        return
    waiting = [(job, 1) for job in jobs]
    pool = [_Worker(root, threads, imports) for _ in range(min(workers, len(jobs)))]
    try:
        while waiting or any(worker.job for worker in pool):
            for place, worker in enumerate(pool):
                if worker.job is None and waiting:
                    pool[place] = worker = worker.alive(root, threads, imports)
                    worker.begin(*waiting.pop(0))
            for worker in _ready(pool):
                word = worker.word()
                if word is not None:
                    yield word
                elif worker.tries < TRIES and worker.job is not None:
                    waiting.insert(0, (worker.job, worker.tries + 1))
                    worker.job = None
                elif worker.job is not None:
                    yield worker.job, worker.lost()
    finally:
        for worker in pool:
            worker.end()


def _here(jobs: Sequence[Job], root: Path, threads: int) -> Iterator[Word]:
    """In this process, one after the other."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for job in jobs:
            yield job, 0.0
            yield job, attempt(job, root, lambda share: None)
    finally:
        torch.set_num_threads(before)


def _ready(pool: Sequence[_Worker]) -> list[_Worker]:
    """The busy processes that have said something, or have ended."""
    busy = {worker.link: worker for worker in pool if worker.job is not None}
    return [busy[link] for link in wait(list(busy), 1.0) if isinstance(link, Connection)]


class _Worker:
    """A process, the pipe to it, and the run it is at."""

    def __init__(self, root: Path, threads: int, imports: Sequence[str]):
        context = multiprocessing.get_context("spawn")
        self.link, theirs = context.Pipe()
        arguments = (theirs, root, threads, tuple(imports))
        self.process = context.Process(target=_serve, args=arguments, daemon=True)
        self.process.start()
        theirs.close()
        self.job: Job | None = None
        self.tries = 0

    def alive(self, root: Path, threads: int, imports: Sequence[str]) -> _Worker:
        """Itself, or a new one where it has ended."""
        if self.process.is_alive():
            return self
        self.end()
        return _Worker(root, threads, imports)

    def begin(self, job: Job, tries: int) -> None:
        self.job, self.tries = job, tries
        try:
            self.link.send(job)
        except OSError:  # it has just ended: seen when it is asked
            return

    def word(self) -> Word | None:
        """What it says of its run; None if it has ended."""
        job = self.job
        assert job is not None
        try:
            answer = self.link.recv()
        except (EOFError, OSError):
            self.process.join(5)
            return None
        if isinstance(answer, Outcome):
            self.job = None
        return job, answer

    def lost(self) -> Outcome:
        """The outcome of a run whose process was ended again and again."""
        assert self.job is not None
        name, self.job = self.job.name, None
        code = self.process.exitcode
        how = f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
        return ended_from_outside(name, self.tries, how)

    def end(self) -> None:
        self.link.close()
        self.process.terminate()
        self.process.join(5)
        if self.process.is_alive():
            self.process.kill()


def _serve(link: Connection, root: Path, threads: int, imports: Sequence[str]) -> None:
    """What a process does: runs, until nobody asks for another."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started it decides
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    end_with_parent()  # another grid may take its folder up
    import torch

    from holdfast.core.registry import import_named

    torch.set_num_threads(threads)
    for name in imports:
        import_named(name)
    last = 0.0

    def share(value: float) -> None:
        nonlocal last
        if time.monotonic() - last > PAUSE:
            last = time.monotonic()
            link.send(value)

    while True:
        try:
            job = link.recv()
        except (EOFError, OSError):
            return
        link.send(attempt(job, root, share))
