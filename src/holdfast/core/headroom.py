"""Headroom: how much memory a process may still take."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path


def available_memory() -> int:
    """Bytes that this process may still take: of the machine, and of what limits the process.

    Counted are the system's own estimate of what is free, a limit of the address space (``ulimit -v``)
    and, on Linux, that of the control group.
    """
    limits = [_free()]
    with suppress(ImportError, OSError, ValueError, IndexError):
        import resource  # POSIX alone has it

        soft, _ = resource.getrlimit(resource.RLIMIT_AS)
        if soft != resource.RLIM_INFINITY:
            taken = int(Path("/proc/self/statm").read_text().split()[0])
            limits.append(max(0, soft - taken * resource.getpagesize()))
    with suppress(OSError, ValueError):
        group = Path("/sys/fs/cgroup")
        most = int((group / "memory.max").read_text())
        limits.append(max(0, most - int((group / "memory.current").read_text())))
    return min(limits)


def _free() -> int:
    """Of the machine, as far as the system says."""
    with suppress(OSError, StopIteration, ValueError):
        lines = Path("/proc/meminfo").read_text().splitlines()
        line = next(line for line in lines if line.startswith("MemAvailable"))
        return int(line.split()[1]) * 1024
    import psutil

    return psutil.virtual_memory().available
