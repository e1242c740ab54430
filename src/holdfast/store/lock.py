"""One writer at a time: a lock that the system releases when the process that has it dies."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from holdfast.core.errors import StoreError


@contextmanager
def locked(path: Path, what: str) -> Iterator[None]:
    """Have a lock file inside the block.

    Args:
        path: of the lock file; it stays when the lock is released. Beside it, ``NAME.pid`` says which
            process has it.
        what: is locked, for the message.

    Raises:
        StoreError: if another process has it, naming that process; or if the path is a link.
    """
    if path.is_symlink():
        raise StoreError(f"{path} is a link: remove it, a lock is a file of its own.")
    process = path.with_name(f"{path.name}.pid")
    lock = FileLock(path, timeout=0, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        number = "unknown"
        with suppress(OSError):
            number = process.read_text().strip() or number
        raise StoreError(
            f"{what} is being updated by another process ({number}): wait until it has finished."
        ) from None
    try:
        with suppress(OSError):  # it is only told: a full disk is found where it matters
            process.unlink(missing_ok=True)  # never write through a link
            process.write_bytes(f"{os.getpid()}\n".encode())
        yield
    finally:
        with suppress(OSError):
            process.unlink(missing_ok=True)
        lock.release()


@contextmanager
def nothing_left(path: Path) -> Iterator[None]:
    """A folder that is made inside, and in which nothing but a lock was left, is gone at the end.

    Args:
        path: of the folder.
    """
    new = not path.exists()
    try:
        yield
    finally:
        if new and path.exists() and {p.name for p in path.iterdir()} <= {".lock"}:
            (path / ".lock").unlink(missing_ok=True)
            path.rmdir()
