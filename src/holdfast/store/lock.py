"""One writer at a time: a lock that the system releases when its holder dies."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from holdfast.errors import StoreError


@contextmanager
def locked(path: Path, what: str) -> Iterator[None]:
    """Hold a lock file inside the block.

    Args:
        path: of the lock file; it stays when the lock is released.
        what: is locked, for the message.

    Raises:
        StoreError: if another process holds it, naming that process.
    """
    import fcntl  # POSIX alone has it

    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(handle, 32).decode(errors="replace").strip() or "unknown"
            raise StoreError(
                f"{what} is being updated by another process ({holder}): wait until it has finished."
            ) from None
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(handle)
