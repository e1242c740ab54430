"""A server on a socket, until it is stopped."""

from __future__ import annotations

import socket
from typing import Any

from holdfast.core.errors import ConfigError
from holdfast.serve.app import make_app, missing
from holdfast.serve.service import Service


def listening(host: str, port: int) -> socket.socket:
    """A socket that is bound, before anything is loaded.

    Raises:
        ConfigError: for an address that is in use or not this machine's.
    """
    if port > 65535:  # create_server would leave its socket open
        raise ConfigError(f"port {port} of {host} cannot be opened: choose a --port up to 65535.")
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=512)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(
            f"port {port} of {host} cannot be opened ({reason}): choose another --port or --host."
        ) from None


def address(bound: socket.socket) -> str:
    """Where a bound socket answers."""
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def make_server(service: Service, access_log: bool = False) -> Any:
    """A server of uvicorn, whose ``run(sockets=[...])`` returns when it is stopped.

    Raises:
        ConfigError: without the extra ``holdfast[serve]``.
    """
    try:
        import uvicorn
    except ImportError as error:
        raise missing(error) from None
    return uvicorn.Server(
        uvicorn.Config(
            make_app(service),
            limit_concurrency=service.limits.connections,
            timeout_keep_alive=5,
            timeout_graceful_shutdown=int(service.limits.seconds) + 1,
            log_level="info" if access_log else "warning",
            access_log=access_log,
            lifespan="off",
            ws="none",
            server_header=False,
        )
    )
