"""What a diagnosis keeps beside a run, so that it goes on where the run does: one file, of its own."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from holdfast.core.errors import StoreError
from holdfast.diagnose.local import State
from holdfast.diagnose.moment import Says
from holdfast.diagnose.watched import Watched
from holdfast.store import serialize

NAME, FORMAT = "watched.safetensors", 1


@dataclass
class Records:
    """What the networks so far said of the watched rows, and the weights of the last one.

    Attributes:
        networks: by task.
        last: weights of the network after the newest of these tasks; None where it is not known.
        update: what that task added to them; None where it is not known.
    """

    networks: dict[int, Says] = field(default_factory=dict)
    last: State | None = None
    update: State | None = None

    def write(self, folder: Path, watched: Watched) -> None:
        """Into the folder of a run, whole or not at all."""
        data = {
            "format": FORMAT,
            "keys": watched.rows.key,
            "tasks": [
                {"task": task, "features": seen.features, "embedding": seen.embedding}
                for task, seen in sorted(self.networks.items())
            ],
            "last": self.last,
            "update": self.update,
        }
        serialize.write(folder / NAME, data)

    @classmethod
    def read(cls, folder: Path, watched: Watched, before: int) -> Records:
        """Those of the tasks before one; none where there is no file, or it is of other rows.

        Args:
            folder: of the run.
            watched: the rows that they must be of.
            before: the first task that is not wanted; the weights are only those of the task before it.

        Raises:
            StoreError: for a damaged file, or one of a later version.
        """
        if not (folder / NAME).exists():
            return cls()
        data: Any = serialize.read(folder / NAME)
        try:
            if data["format"] != FORMAT:
                raise StoreError(
                    f"{folder / NAME} has format {data['format']}, and this version reads {FORMAT}: "
                    "update holdfast, or remove the file."
                )
            if not torch.equal(data["keys"], watched.rows.key):
                return cls()
            networks = {
                entry["task"]: Says(entry["features"], entry["embedding"])
                for entry in data["tasks"]
            }
            newest = max(networks, default=-1) == before - 1
            networks = {task: seen for task, seen in networks.items() if task < before}
            return cls(networks, *(data["last"], data["update"]) if newest else (None, None))
        except (KeyError, TypeError, ValueError) as error:
            raise StoreError(
                f"{folder / NAME} cannot be read ({type(error).__name__}: {error}): remove it."
            ) from None
