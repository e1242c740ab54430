"""The runs of a grid on a Ray cluster: a run whose process or node went away goes on elsewhere."""

from __future__ import annotations

import os
import platform
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any
from uuid import uuid4

from holdfast.compare.board import Board, seen
from holdfast.compare.engine import CarryOut, Engine
from holdfast.compare.plan import Job
from holdfast.compare.work import PAUSE, Outcome, Word, attempt, ended_from_outside
from holdfast.core.errors import ConfigError
from holdfast.core.registry import IMPORTED, import_named

TRIES = 4  # of a run whose process or node went away: machines of a cluster may be taken back
PATIENCE = 5.0  # seconds to wait for an address to answer
SETTINGS = b"\x04"  # the kind of an HTTP/2 frame, in which gRPC speaks
GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + SETTINGS + bytes(5)
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
        try:
            import ray
        except ImportError:
            raise ConfigError("--engine ray needs Ray: pip install 'holdfast[ray]'.") from None
        self.ray, self.limit, self.threads, self.address = ray, workers, threads, address

    @contextmanager
    def ready(self, root: Path) -> Iterator[CarryOut]:
        """See `Engine.ready`: connect, and see that every node can do its part."""
        root = root.resolve()
        connected = self.ray.is_initialized()  # by whoever called: left as it is
        if not connected:
            self._connect()
        try:
            cores = self._check_nodes(root)
            self.workers = self.limit or max(1, cores // self.threads)
            yield lambda jobs: self._carried_out(jobs, root)
        finally:
            if not connected:
                self.ray.shutdown()

    def _connect(self) -> None:
        """Join the cluster (ConfigError, soon, if there is none at the address)."""
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent to anybody
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        address = self.address or os.environ.get("RAY_ADDRESS", "")
        _answers(address)
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
        if not address:
            options["include_dashboard"] = False
        try:
            self.ray.init(address=address or None, **options)
        except (ConnectionError, RuntimeError, ValueError, OSError) as error:
            raise _unreachable(address, error) from None

    def _check_nodes(self, root: Path) -> int:
        """The cores of all nodes; each must see the folder and have this holdfast (ConfigError)."""
        nodes = [node for node in self.ray.nodes() if node["Alive"]]
        cores = [int(node["Resources"].get("CPU", 0)) for node in nodes]
        most = max(cores, default=0)
        if most < self.threads:
            raise ConfigError(
                f"--threads {self.threads} are more than any node has cores ({most} at most): give fewer."
            )
        root.mkdir(parents=True, exist_ok=True)
        token = root / f".seen-{uuid4().hex}"
        token.touch()
        try:
            ask = self.ray.remote(num_cpus=0, max_retries=1)(seen)
            answers = [ask.options(**self._on(node)).remote(str(token)) for node in nodes]
            for host, sees, version in self.ray.get(answers):
                require(host, sees, version, root)
        finally:
            token.unlink(missing_ok=True)
        return sum(cores)

    def _on(self, node: dict[str, Any]) -> dict[str, Any]:
        """The options of a task that runs on a node."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        return {"scheduling_strategy": NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)}

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
            return Outcome(job.name, error=_line(error), trace=f"{error}\n")
        except errors.RayError as error:  # its process or its node went away
            if tries < TRIES:
                return None
            return ended_from_outside(job.name, tries, _line(error))


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
        text = f"{platform.node()}: {_line(error)}"
        return Outcome(job.name, error=text, trace=f"{text}\n")


def require(host: str, sees: bool, version: str, root: Path) -> None:
    """Refuse a node that cannot do its part (ConfigError)."""
    if not sees:
        raise ConfigError(
            f"the node {host} of the cluster does not see {root}: choose an --out on storage that all "
            "nodes share, at the same path on each."
        )
    if version != installed("holdfast"):
        raise ConfigError(
            f"the node {host} has holdfast {version} and this machine {installed('holdfast')}: "
            "install the same on all."
        )


def _answers(address: str) -> None:
    """Refuse an address where no cluster answers, before Ray waits for it for minutes (ConfigError)."""
    if address in ("", "auto", "local"):
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        with socket.create_connection((host or "127.0.0.1", int(port)), PATIENCE) as link:
            if os.environ.get("RAY_USE_TLS", "0") in ("", "0"):
                link.sendall(GREETING)  # who speaks HTTP/2 sends its settings
                if link.recv(9)[3:4] != SETTINGS:
                    raise OSError("something else than Ray answers there")
    except (OSError, ValueError, OverflowError) as error:
        raise _unreachable(address, error) from None


def _unreachable(address: str, error: BaseException) -> ConfigError:
    return ConfigError(
        f"no Ray cluster can be reached at {address or 'this machine'} ({_line(error)}): start one with "
        "'ray start --head', and give its HOST:PORT."
    )


def _line(error: BaseException) -> str:
    """The first line of what went wrong."""
    return str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__
