"""Batches: inputs that wait at the same time are answered by one pass of the network."""

from __future__ import annotations

import queue
import threading
from concurrent.futures import Future
from dataclasses import dataclass, field

import torch
from jaxtyping import Shaped
from torch import Tensor

from holdfast.serve.follow import Served
from holdfast.serve.predictor import Predictions


@dataclass(frozen=True)
class Job:
    """Inputs of one request.

    Attributes:
        served: the version that is to answer.
        x: (N, ...) what the version takes.
        false_alarms: share of known inputs that may be called unknown.
        answer: will be `Predictions` of the N inputs.
    """

    served: Served
    x: Shaped[Tensor, "n ..."]
    false_alarms: float
    answer: Future[Predictions] = field(default_factory=Future)

    @property
    def kind(self) -> tuple[object, ...]:
        """Jobs of one kind can be answered together."""
        return self.served.key, tuple(self.x.shape[1:]), self.x.dtype, self.false_alarms


class Batches:
    """A thread that answers jobs; those that wait are put together, as many as fit a batch.

    Args:
        batch: inputs at a time.
    """

    def __init__(self, batch: int = 64):
        self.batch = batch
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="holdfast-batches", daemon=True)
        self._thread.start()

    def submit(self, job: Job) -> Future[Predictions]:
        """Have a job answered; the number that wait is bounded by whoever submits."""
        self._jobs.put(job)
        return job.answer

    def stop(self) -> None:
        """Answer what waits, then end."""
        self._jobs.put(None)
        self._thread.join(timeout=10)

    def _run(self) -> None:
        ended = False
        while not ended:
            jobs, ended = self._next()
            kinds: dict[tuple[object, ...], list[Job]] = {}
            for job in jobs:
                if job.answer.set_running_or_notify_cancel():
                    kinds.setdefault(job.kind, []).append(job)
            for group in kinds.values():
                _answer(group)

    def _next(self) -> tuple[list[Job], bool]:
        """The jobs of a batch, in order of arrival, and whether no more will come."""
        job = self._jobs.get()
        jobs: list[Job] = []
        while job is not None:
            jobs.append(job)
            if sum(len(j.x) for j in jobs) >= self.batch:
                return jobs, False
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                return jobs, False
        return jobs, True


def _answer(jobs: list[Job]) -> None:
    """One pass for jobs of one kind; what goes wrong goes to each of them."""
    try:
        x = torch.cat([job.x for job in jobs]) if len(jobs) > 1 else jobs[0].x
        whole = jobs[0].served.predictor(x, jobs[0].false_alarms)
    except Exception as error:  # the thread outlives whatever one batch brings
        for job in jobs:
            job.answer.set_exception(error)
        return
    start = 0
    for job in jobs:
        job.answer.set_result(_rows(whole, start, start + len(job.x)))
        start += len(job.x)


def _rows(whole: Predictions, start: int, stop: int) -> Predictions:
    unknown = None if whole.unknown is None else whole.unknown[start:stop]
    return Predictions(
        whole.label[start:stop],
        whole.probability[start:stop],
        whole.probabilities[start:stop],
        unknown,
    )
