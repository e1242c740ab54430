"""The folder a run leaves: result.json, log.jsonl, two pictures, the learner's weights."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from safetensors.torch import save_file

from holdfast.errors import ConfigError
from holdfast.events import Epoch, Event
from holdfast.report.grid import matrix_picture, retention_picture
from holdfast.result import Result


class RunFolder:
    """Writes what each event brings, so that a run that stops keeps what it had learned.

    Args:
        path: the folder; it must not exist.
        overwrite: replace a folder that an earlier run left.

    Raises:
        ConfigError: if the path exists and may not be replaced, or cannot be made.
    """

    def __init__(self, path: Path, overwrite: bool = False):
        self.path = path
        if path.exists():
            if not overwrite:
                raise ConfigError(
                    f"{path} exists already: choose another --out, or add --overwrite."
                )
            if not path.is_dir() or not (
                (path / "result.json").exists() or (path / "log.jsonl").exists()
            ):
                raise ConfigError(
                    f"{path} holds no earlier run, so --overwrite leaves it alone: choose another --out."
                )
            shutil.rmtree(path)
        try:
            path.mkdir(parents=True)
        except OSError as error:
            raise ConfigError(
                f"{path} cannot be made ({error.strerror}): choose another --out."
            ) from None

    def __call__(self, event: Event) -> None:
        """Write a line an epoch; and weights, result and pictures a task."""
        if isinstance(event, Epoch):
            with (self.path / "log.jsonl").open("a") as log:
                log.write(json.dumps(_line(event)) + "\n")
            return
        weights = {name: t.contiguous() for name, t in event.learner.state_dict().items()}
        whole(self.path / "learner.safetensors", lambda to: save_file(weights, to))
        self.result(event.result)

    def result(self, result: Result) -> None:
        """Write result.json, and the pictures once there is a figure to draw."""
        whole(self.path / "result.json", lambda to: to.write_text(result.to_json()))
        if not result.tasks:
            return
        whole(self.path / "matrix.png", lambda to: matrix_picture(result, to))
        whole(self.path / "retention.png", lambda to: retention_picture(result, to))


def _line(event: Epoch) -> dict[str, object]:
    place = {"task": event.task, "epoch": event.epoch}
    records = {name: round(value, 6) for name, value in event.records.items()}
    speed = {"images_per_second": round(event.rate, 1), "seconds": round(event.seconds, 4)}
    return {**place, **records, "lr": round(event.lr, 8), **speed}


def whole(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file beside its place and then move it there: nobody sees half of it, whatever fails."""
    half = path.with_name(f".{path.stem}.part{path.suffix}")
    try:
        write(half)
        sync(half)
        os.replace(half, path)
        sync(path.parent)
    finally:
        half.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Have a file, or the names in a folder, on the disk before anything else is written."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def fresh(recipe: str, stream: str, protocol: str, root: Path = Path("runs")) -> Path:
    """A readable path that is not taken: runs/fnc2-digits-strict, then ...-2, and so on."""
    name = "".join(
        c if c.isalnum() or c in "-_" else "-" for c in f"{recipe}-{stream}-{protocol}".lower()
    )
    name = name.strip("-")
    number = 1
    while (path := root / (name if number == 1 else f"{name}-{number}")).exists():
        number += 1
    return path
