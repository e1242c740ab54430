"""Over Ray Data: shards go to processes of a cluster, and each result comes back once, in order."""

from __future__ import annotations

import logging
import os
import pickle
import platform
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from importlib.util import find_spec
from typing import Any

from holdfast.compare.cluster import Cluster, first_line
from holdfast.core.errors import ConfigError, DeviceError, HoldfastError
from holdfast.core.registry import IMPORTED, import_named
from holdfast.spread.shards import Shard

Work = Callable[[Shard], Any]
SHARED = "put the data on storage that all nodes share, at the same path on each"


class Spread:
    """A Ray cluster that reads files; ``pip install 'holdfast[ray]'`` here and on every node.

    Each worker is an actor of Ray Data that takes a core and keeps the network. A worker that goes away is
    replaced, and the shard it had is done again by another; a shard has one result, and it is taken once.

    Args:
        workers: at most so many; 0 takes as many as the cluster has cores.
        address: HOST:PORT; empty takes RAY_ADDRESS, the cluster of this machine, or starts one on it.

    Raises:
        ConfigError: if Ray Data is not installed.
    """

    def __init__(self, workers: int = 0, address: str = ""):
        self.cluster, self.limit = Cluster(1, address), workers
        if not all(map(find_spec, ("pyarrow", "pandas"))):
            raise ConfigError("--engine ray needs Ray Data: pip install 'holdfast[ray]'.")

    def results(self, shards: Sequence[Shard], work: Work) -> Iterator[tuple[Shard, Any]]:
        """What the work makes of each shard, in their order.

        Args:
            shards: of files.
            work: of one shard; it is sent to every worker once.

        Raises:
            HoldfastError: the first that the work raised.
            ConfigError: for a cluster that cannot be reached, or a node that does not see the data.
            DeviceError: if the work failed otherwise, or a shard had no result.
        """
        os.environ.setdefault(
            "RAY_BACKEND_LOG_LEVEL", "fatal"
        )  # what Ray Data's own actors are like
        first = shards[0].files[0]
        with self.cluster.joined():
            cores = self.cluster.check(first, first, SHARED)
            waiting = {shard.number: shard for shard in shards}
            for number, packed in self._rows(shards, work, self.limit or max(1, cores)):
                shard = waiting.pop(number, None)
                if shard is not None:  # else it was done twice, and has been taken
                    yield shard, _unpacked(packed)
            if waiting:
                lost = sum(len(shard.files) for shard in waiting.values())
                raise DeviceError(f"the cluster ended, and {lost} files had no result: try again.")

    def _rows(self, shards: Sequence[Shard], work: Work, workers: int) -> Iterator[Any]:
        """Numbers and packed results, as Ray Data brings them."""
        import ray.data
        from ray.exceptions import RayError

        reference = ray.put(_pickled(work))
        items = [{"number": s.number, "packed": pickle.dumps(s)} for s in shards]
        table = ray.data.from_items(items, override_num_blocks=len(items))
        table.context.execution_options.preserve_order = True
        table.context.enable_progress_bars = False
        _hush("ray.data")
        worker: Any = Worker
        done = table.map(
            worker,
            fn_constructor_args=(reference, os.getcwd(), sorted(IMPORTED)),
            compute=ray.data.ActorPoolStrategy(min_size=1, max_size=min(workers, len(shards))),
            num_cpus=1,
        )
        try:
            for row in done.iter_rows():
                yield row["number"], row["packed"]
        except RayError as error:
            raise DeviceError(
                f"the cluster could not read the data ({first_line(error)})."
            ) from error


def _hush(name: str) -> None:
    """A library's progress goes to its own files, and no longer to where a person reads."""
    for handler in logging.getLogger(name).handlers:
        if not isinstance(handler, logging.FileHandler):
            handler.setLevel(logging.ERROR)


class Worker:
    """A process of the cluster: it has the work, and does it for one shard after another.

    Args:
        work: reference to the packed work.
        folder: where paths of the user's modules begin.
        imports: modules whose parts the work may need.
    """

    def __init__(self, work: Any, folder: str, imports: Sequence[str]):
        import ray
        import torch

        with suppress(OSError):
            os.chdir(folder)
        torch.set_num_threads(1)
        for name in imports:
            import_named(name)
        self.work: Work = pickle.loads(ray.get(work))

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """The result of a shard, or what was wrong with it."""
        try:
            outcome = self.work(pickle.loads(row["packed"]))
        except HoldfastError as error:
            outcome = Failed(type(error), str(error))
        except Exception as error:  # Ray would do it again, and print its own frames
            text = f"{platform.node()}: {type(error).__name__}: {first_line(error)}"
            outcome = Failed(DeviceError, f"a worker failed on {text}", traceback.format_exc())
        return {"number": row["number"], "packed": pickle.dumps(outcome)}


class Failed:
    """An error on its way to the process that asked."""

    def __init__(self, kind: type[HoldfastError], text: str, trace: str = ""):
        self.kind, self.text, self.trace = kind, text, trace


def _unpacked(packed: bytes) -> Any:
    outcome = pickle.loads(packed)
    if isinstance(outcome, Failed):
        error = outcome.kind(outcome.text)
        raise error from (RuntimeError(outcome.trace) if outcome.trace else None)
    return outcome


def _pickled(work: Work) -> bytes:
    """By value where a class was made in a program."""
    import ray.cloudpickle

    return ray.cloudpickle.dumps(work)
