"""Cluster: joining a Ray cluster, and whether its nodes can do their part."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

from holdfast.compare.board import seen
from holdfast.core.errors import ConfigError

PATIENCE = 5.0  # seconds to wait for an address to answer
SETTINGS = b"\x04"  # the kind of an HTTP/2 frame, in which gRPC speaks
GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + SETTINGS + bytes(5)


class Cluster:
    """A Ray cluster; ``pip install 'holdfast[ray]'`` on this machine and on every node.

    Args:
        threads: cores that a piece of work takes of a node.
        address: HOST:PORT; empty takes RAY_ADDRESS, the cluster of this machine, or starts one on it.

    Raises:
        ConfigError: if Ray is not installed.
    """

    def __init__(self, threads: int = 1, address: str = ""):
        try:
            import ray
        except ImportError:
            raise ConfigError("--engine ray needs Ray: pip install 'holdfast[ray]'.") from None
        self.ray, self.threads, self.address = ray, threads, address

    @contextmanager
    def joined(self) -> Iterator[None]:
        """Connected while the context lasts (ConfigError, soon, if there is none at the address)."""
        connected = self.ray.is_initialized()  # by whoever called: left as it is
        if not connected:
            self._connect()
        try:
            yield
        finally:
            if not connected:
                self.ray.shutdown()

    def _connect(self) -> None:
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

    def check(self, file: Path, shown: Path, remedy: str) -> int:
        """The cores of all nodes; each must see a file and have this holdfast.

        Args:
            file: to look for.
            shown: what to name where it is not seen.
            remedy: what would be right then.

        Raises:
            ConfigError: naming the node, and what it lacks.
        """
        nodes = [node for node in self.ray.nodes() if node["Alive"]]
        cores = [int(node["Resources"].get("CPU", 0)) for node in nodes]
        most = max(cores, default=0)
        if most < self.threads:
            raise ConfigError(
                f"--threads {self.threads} are more than any node has cores ({most} at most): give fewer."
            )
        ask = self.ray.remote(num_cpus=0, max_retries=1)(seen)
        answers = [ask.options(**self._on(node)).remote(str(file)) for node in nodes]
        for host, sees, version in self.ray.get(answers):
            require(host, sees, version, shown, remedy)
        return sum(cores)

    def _on(self, node: dict[str, Any]) -> dict[str, Any]:
        """The options of a task that runs on a node."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        return {"scheduling_strategy": NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)}


def require(host: str, sees: bool, version: str, shown: Path, remedy: str) -> None:
    """Refuse a node that cannot do its part (ConfigError)."""
    if not sees:
        raise ConfigError(f"the node {host} of the cluster does not see {shown}: {remedy}.")
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
        f"no Ray cluster can be reached at {address or 'this machine'} ({first_line(error)}): start one "
        "with 'ray start --head', and give its HOST:PORT."
    )


def first_line(error: BaseException) -> str:
    """The first line of what went wrong."""
    return str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__
