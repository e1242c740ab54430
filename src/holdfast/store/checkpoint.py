"""Checkpoint: where a run or an update stands, written at the ends of its epochs."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from holdfast.core.errors import StoreError

SHARE = 0.05  # of the time, at most, goes into writing


class Checkpoint:
    """One file that always holds a whole state, or is not there.

    Every epoch's end is written unless that would take more than a twentieth of the time so far:
    very short epochs are then written every few; a kill costs those since the last.

    Args:
        path: of the file.
        share: of the time, at most, that writing may take; 1 writes always.
    """

    def __init__(self, path: Path, share: float = SHARE):
        self.path, self.share = path, share
        self.begun, self.spent, self.last = time.perf_counter(), 0.0, 0.0

    def read(self) -> Any:
        """The state, None where there is no file (StoreError for a damaged one)."""
        self._refuse_link()
        from holdfast.store import serialize  # brings torch, which who reads an index does not need

        return serialize.read(self.path) if self.path.exists() else None

    def offer(self, state: Callable[[], Any], must: bool = False) -> bool:
        """Write a state if it is affordable, or if it must be; says whether it was written.

        Raises:
            StoreError: if the disk does not take it; the former state stays.
        """
        from holdfast.store import serialize

        self._refuse_link()
        started = time.perf_counter()
        if not must and self.spent + self.last > self.share * (started - self.begun):
            return False
        serialize.write(self.path, state())
        self.last = time.perf_counter() - started
        self.spent += self.last
        return True

    def _refuse_link(self) -> None:
        if self.path.is_symlink():
            raise StoreError(f"{self.path} is a link, and links are not followed: remove it.")

    def remove(self) -> None:
        """It is not needed any more."""
        self.path.unlink(missing_ok=True)
