"""What nodes of a cluster do beside runs; it imports nothing heavy."""

from __future__ import annotations

import platform
from importlib.metadata import version
from pathlib import Path


class Board:
    """Where runs note how far they are."""

    def __init__(self):
        self.noted: dict[str, float] = {}

    def note(self, name: str, share: float) -> None:
        """Note how much of a run is done, from 0 to 1."""
        self.noted[name] = share

    def shares(self) -> dict[str, float]:
        """What was noted, by name."""
        return self.noted


def seen(token: str) -> tuple[str, bool, str]:
    """A node's name, whether it sees a file, and its version of holdfast."""
    return platform.node(), Path(token).exists(), version("holdfast")
