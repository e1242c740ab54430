"""Files that are whole or not there, whatever stops the program while it writes."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path


def atomic_write(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file beside its place and then move it there: nobody sees half of it, whatever fails."""
    half = path.with_name(f".{path.stem}.part{path.suffix}")
    half.unlink(missing_ok=True)  # never through a link that stands there
    try:
        write(half)
        sync(half)
        os.replace(half, path)
        with contextlib.suppress(OSError):  # it is in its place already: too late to fail
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
