"""Engine: what carries out the runs of a grid, here processes of this machine."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from importlib import import_module
from pathlib import Path

from holdfast.compare.plan import Job
from holdfast.compare.work import Word
from holdfast.core.errors import ConfigError, unknown
from holdfast.core.registry import IMPORTED

CarryOut = Callable[[Sequence[Job]], Iterator[Word]]


class Engine(ABC):
    """Carries out runs, and yields how far they are and how they end.

    A run is `holdfast.compare.work.attempt`: it goes on from where its folder stands. What an engine
    owes: every run ends with one outcome, also one whose process was ended from outside.

    Attributes:
        workers: runs at a time; settled once it is ready.
    """

    workers: int = 1

    @abstractmethod
    def ready(self, root: Path) -> AbstractContextManager[CarryOut]:
        """What carries out runs below a root, as long as the context lasts.

        Args:
            root: below which each has its folder.

        Raises:
            ConfigError: if it cannot work.
        """


class Pool(Engine):
    """Processes of this machine.

    Args:
        workers: at a time; 0 takes as many as there are cores for, 1 this process.
        threads: of torch, in each.
    """

    def __init__(self, workers: int = 0, threads: int = 1):
        self.workers, self.threads = workers or _cores() // threads or 1, threads

    @contextmanager
    def ready(self, root: Path) -> Iterator[CarryOut]:
        """See `Engine.ready`."""
        from holdfast.compare.pool import carried_out

        def carry_out(jobs: Sequence[Job]) -> Iterator[Word]:
            workers = min(self.workers, len(jobs)) or 1
            return carried_out(jobs, root, workers, self.threads, sorted(IMPORTED))

        yield carry_out


ENGINES = ("pool", "ray")


def engine_named(name: str, workers: int = 0, threads: int = 1, address: str = "") -> Engine:
    """An engine by its name.

    Args:
        name: pool or ray.
        workers: runs at a time; 0 takes as many as there are cores for.
        threads: of torch, in each.
        address: of a Ray cluster.

    Raises:
        ConfigError: for an unknown name, an address without a cluster, or ray where it is not installed.
    """
    if name not in ENGINES:
        raise unknown("engine", name, ENGINES)
    if name == "ray":
        return import_module("holdfast.compare.engine_ray").RayCluster(workers, threads, address)
    if address:
        raise ConfigError(f"--address {address} is of a Ray cluster: add --engine ray.")
    return Pool(workers, threads)


def _cores() -> int:
    """Cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1
