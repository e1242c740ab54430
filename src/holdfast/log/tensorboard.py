"""TensorBoard: an event file in the run's folder, written without TensorBoard or TensorFlow."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping

from holdfast.log import records
from holdfast.log.sink import About, register


@register("tensorboard")
class TensorBoard:
    """Event files in the folder ``tensorboard/`` of the run, for ``tensorboard --logdir``.

    A run that is resumed writes a further file, whose first event takes back what an earlier one said
    of the steps that are made again.

    Args:
        about: the run.
    """

    def __init__(self, about: About):
        self.folder = about.folder / "tensorboard"
        self.folder.mkdir(parents=True, exist_ok=True)
        now = time.time()
        name = f"events.out.tfevents.{now:.6f}.{socket.gethostname()}.{os.getpid()}"
        self.file = (self.folder / name).open("xb")
        self._begun = False
        rows = [f"| {name} | {_cell(value)} |" for name, value in about.settings.items()]
        table = "\n".join(["| setting | value |", "|---|---|", *rows])
        self._write(records.opening(now), records.text(now, "settings", table))

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Write the numbers of a step, so that they can be seen at once."""
        now = time.time()
        events = [] if self._begun else [records.start(now, step)]
        self._begun = True
        self._write(*events, records.scalars(now, step, values))

    def finish(self, status: str) -> None:
        """Close the file."""
        self.file.close()

    def _write(self, *events: bytes) -> None:
        self.file.write(b"".join(map(records.framed, events)))
        self.file.flush()


def _cell(value: object) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")
