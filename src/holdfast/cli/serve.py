"""``holdfast serve``: a stored model behind HTTP, following its updates and rollbacks."""

from __future__ import annotations

import logging
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from holdfast.cli.options import Positional, Text
from holdfast.cli.reading import read
from holdfast.serve.follow import Follower
from holdfast.serve.limits import Limits
from holdfast.store.model import ModelFolder

MEBI = 2**20


@dataclass(frozen=True)
class Serve:
    """Answer requests over HTTP with the version in use, and follow updates and rollbacks.

    There is no password and no encryption: beyond this machine, put it behind a proxy that has both.

    Args:
        model: folder of the model.
        host: address to answer at; 0.0.0.0 answers every machine that reaches this one.
        port: to answer at; 0 takes a free one.
        readout: which of the model's readouts decides; by default its own.
        false_alarms: share of images of known classes that may be called unknown.
        top: classes that an answer lists.
        batch: inputs that are answered together at most.
        max_mib: of one request, in MiB.
        max_images: in one request.
        max_pixels: of one image, counted before it is decoded.
        max_seconds: for one request.
        max_waiting: requests at the same time; more are answered with 503 and Retry-After.
        max_connections: open at the same time.
        device: auto, cpu, cuda or mps.
        access_log: write a line a request.
    """

    model: Positional[Path]
    host: str = "127.0.0.1"
    port: int = 8000
    readout: Text = None
    false_alarms: float = 0.05
    top: int = 5
    batch: int = 64
    max_mib: float = 20.0
    max_images: int = 64
    max_pixels: int = 40_000_000
    max_seconds: float = 30.0
    max_waiting: int = 32
    max_connections: int = 256
    device: str = "auto"
    access_log: bool = False


def serve_command(arguments: list[str], console: Console) -> int:
    """Load the version in use and answer until Ctrl-C or SIGTERM."""
    options = read(Serve, arguments, "holdfast serve")
    from holdfast.serve.server import address, listening, make_server
    from holdfast.serve.service import Service

    limits = Limits(
        int(options.max_mib * MEBI), options.max_images, options.max_pixels,
        options.max_seconds, options.max_waiting, options.max_connections,
    )  # fmt: skip
    with closing(listening(options.host, options.port)) as bound:
        follower = Follower(
            ModelFolder(options.model), options.device, options.readout, max(options.batch, 1)
        )
        service = Service(follower, limits, max(options.top, 1), options.false_alarms)
        server = make_server(service, options.access_log)
        logging.basicConfig(format="%(asctime)s %(message)s")
        logging.getLogger("holdfast").setLevel(logging.INFO)
        console.print(
            f"version {follower.served.version} of {options.model} answers at {address(bound)} "
            f"({len(follower.served.predictor.classes)} classes; what it answers: {address(bound)}docs); "
            "Ctrl-C stops",
            markup=False,
            soft_wrap=True,
        )
        follower.start()
        try:
            server.run(sockets=[bound])
        finally:
            service.stop()
    return 0
