"""What the benchmarks share: CPU seconds of two ways in turn, and the memory that one of them takes."""

import ctypes
import statistics
import time
from collections.abc import Callable


def cpu_seconds(work: Callable[[], object]) -> float:
    """CPU seconds of this process: on a busy machine steadier than a clock."""
    started = time.process_time()
    work()
    return time.process_time() - started


def in_turn(*ways: Callable[[], object], repeats: int = 5) -> list[float]:
    """The median CPU seconds of each way; all are run in turn, once before anything counts."""
    for way in ways:
        way()
    turns = [[cpu_seconds(way) for way in ways] for _ in range(repeats)]
    return [statistics.median(column) for column in zip(*turns, strict=True)]


def peak_memory(work: Callable[[], object]) -> float:
    """MiB by which the process grows at most while it works (Linux)."""
    ctypes.CDLL(None).malloc_trim(0)  # give back what was freed before
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # the peak is counted anew
    before = status("VmRSS")
    work()
    return status("VmHWM") - before


def status(name: str) -> float:
    """MiB of a line of /proc/self/status."""
    with open("/proc/self/status") as file:
        line = next(line for line in file if line.startswith(name))
    return int(line.split()[1]) / 1024


def row(what: str, before: float, now: float, unit: str, target: float) -> None:
    """One line of figures: before, now, how many times less, and what was asked."""
    less = before / max(now, 1e-9)
    print(f"  {what:34} {before:10.4g} {now:10.4g} {unit:4} {less:7.1f}  (asked: {target:g})")
