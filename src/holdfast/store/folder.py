"""The folder a run leaves: result.json, log.jsonl, two pictures, the learner's weights, a checkpoint."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from safetensors.torch import save_file

from holdfast.core.errors import ConfigError
from holdfast.store.atomic import atomic_write
from holdfast.store.checkpoint import Checkpoint
from holdfast.train.events import Epoch, Event
from holdfast.train.result import Result
from holdfast.train.state import State

CHECKPOINT = "checkpoint.safetensors"  # of a run that was stopped, in its folder


def make_folder(path: Path, exist_ok: bool) -> None:
    """Make a folder for results, with those above it (ConfigError if that cannot be)."""
    try:
        path.mkdir(parents=True, exist_ok=exist_ok)
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be made ({error.strerror}): choose another --out."
        ) from None


class RunFolder:
    """Writes what each event brings, so that a run that stops keeps what it had learned.

    Args:
        path: the folder; it must not exist, unless it is replaced or resumed.
        overwrite: replace a folder that an earlier run left.
        resume: take up the folder of a run that was stopped.
        pictures: whether to draw them.

    Attributes:
        state: where the run that is resumed stood; None at the beginning.
        complete: whether it had come to its end.

    Raises:
        ConfigError: if the path exists and may not be used, or cannot be made.
        StoreError: if the checkpoint to resume from is damaged.
    """

    def __init__(
        self, path: Path, overwrite: bool = False, resume: bool = False, pictures: bool = True
    ):
        self.pictures = pictures
        self.path, self.checkpoint = path, Checkpoint(path / CHECKPOINT)
        self.state: State | None = None
        self.complete = False
        if path.exists() and not resume:
            self._clear(overwrite)
        make_folder(path, resume)
        if resume:
            self._take_up()

    def _clear(self, overwrite: bool) -> None:
        if not overwrite:
            raise ConfigError(
                f"{self.path} exists already: choose another --out, or add --overwrite "
                "(or --resume, if its run was stopped)."
            )
        if not _is_run(self.path):
            raise ConfigError(
                f"{self.path} holds no earlier run, so --overwrite leaves it alone: choose another --out."
            )
        shutil.rmtree(self.path)

    def _take_up(self) -> None:
        """Read where the run stood, and cut the log back to there."""
        if any(self.path.iterdir()) and not _is_run(self.path):
            raise ConfigError(f"{self.path} holds no run, so --resume leaves it alone.")
        if (self.path / "result.json").exists():
            result = json.loads((self.path / "result.json").read_text())
            self.complete = result.get("status") == "complete"
        if self.complete:
            self.checkpoint.remove()
        self.state = None if self.complete else self.checkpoint.read()
        for half in self.path.glob(".*.part*"):
            half.unlink()
        place = self.state["place"] if self.state else {"task": 0, "epochs": 0}
        log = self.path / "log.jsonl"
        if not self.complete and log.exists():
            lines = log.read_text().splitlines(keepends=True)
            kept = [line for line in lines if _before(line, place["task"], place["epochs"])]
            atomic_write(log, lambda to: to.write_text("".join(kept)))

    def keep(self, state: Callable[[], State], must: bool = False) -> None:
        """Write where the run stands, if it must be or costs little (`Checkpoint`)."""
        self.checkpoint.offer(state, must)

    def __call__(self, event: Event) -> None:
        """Write a line an epoch; and weights, result and pictures a task."""
        if isinstance(event, Epoch):
            with (self.path / "log.jsonl").open("a") as log:
                log.write(json.dumps(_line(event)) + "\n")
            return
        weights = {name: t.contiguous() for name, t in event.learner.state_dict().items()}
        atomic_write(self.path / "learner.safetensors", lambda to: save_file(weights, to))
        self.result(event.result)
        if event.result.status == "complete":
            self.checkpoint.remove()

    def result(self, result: Result) -> None:
        """Write the pictures, once there is a figure to draw, and then result.json."""
        if result.tasks and self.pictures:
            from holdfast.report.grid import matrix_picture, retention_picture  # matplotlib

            atomic_write(self.path / "matrix.png", lambda to: matrix_picture(result, to))
            atomic_write(self.path / "retention.png", lambda to: retention_picture(result, to))
        atomic_write(self.path / "result.json", lambda to: to.write_text(result.to_json()))


def _is_run(path: Path) -> bool:
    """Whether a run left this folder."""
    left = ("result.json", "log.jsonl", CHECKPOINT)
    return path.is_dir() and any((path / name).exists() for name in left)


def _before(line: str, task: int, epochs: int) -> bool:
    """Whether a line of the log, perhaps half written, tells of an epoch before a place."""
    try:
        entry = json.loads(line)
        return line.endswith("\n") and (entry["task"], entry["epoch"]) < (task, epochs)
    except (ValueError, KeyError, TypeError):
        return False


def _line(event: Epoch) -> dict[str, object]:
    place = {"task": event.task, "epoch": event.epoch}
    records = {name: round(value, 6) for name, value in event.records.items()}
    speed = {"images_per_second": round(event.rate, 1), "seconds": round(event.seconds, 4)}
    return {**place, **records, "lr": round(event.lr, 8), **speed}


def fresh(recipe: str, stream: str, protocol: str, root: Path = Path("runs")) -> Path:
    """A readable path that is not taken: runs/fnc2-digits-strict, then ...-2, and so on."""
    return next(path for path in _names(recipe, stream, protocol, root) if not path.exists())


def stopped(recipe: str, stream: str, protocol: str, root: Path = Path("runs")) -> Path:
    """The last of the paths that `fresh` gave which holds a run that was stopped.

    Raises:
        ConfigError: if there is none.
    """
    names = _names(recipe, stream, protocol, root)
    taken = list(itertools.takewhile(Path.exists, names))
    resumable = [path for path in taken if (path / CHECKPOINT).exists()]
    if not resumable:
        first = next(_names(recipe, stream, protocol, root))
        raise ConfigError(
            f"no stopped run is at {first}: name its folder with --out, or start one."
        )
    return resumable[-1]


def _names(recipe: str, stream: str, protocol: str, root: Path) -> Iterator[Path]:
    name = "".join(
        c if c.isalnum() or c in "-_" else "-" for c in f"{recipe}-{stream}-{protocol}".lower()
    ).strip("-")
    return (root / (name if n == 1 else f"{name}-{n}") for n in itertools.count(1))
