"""Images in a file against the same in memory: rows a second, drawn at random, with a step of a network.

    python benchmarks/table.py [--gigabytes 2] [--batch 128]

Writes a table of random 32 x 32 images, and learns from batches of it by turns: read row by row from the
file, and chosen from a tensor in memory. Medians of several turns; the ratio is asked to be 0.9 at least.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch

from holdfast.core.filed import all_rows
from holdfast.core.row_file import RowFile
from holdfast.core.rows import Rows
from holdfast.learner import Learner
from holdfast.stream import to_float

SHAPE = (3, 32, 32)
STEPS, TURNS = 20, 7


def rows_of(x: torch.Tensor) -> Rows:
    """A table of two classes."""
    y = torch.arange(len(x)) % 2
    return Rows(x, y, torch.zeros_like(y), torch.arange(len(x)))


def seconds(rows: Rows, learner: Learner, batch: int, seed: int) -> float:
    """CPU seconds of steps on random batches."""
    chance = torch.Generator().manual_seed(seed)
    begun = time.process_time()
    for _ in range(STEPS):
        part = rows[torch.randint(len(rows), (batch,), generator=chance)]
        loss = torch.nn.functional.cross_entropy(learner(to_float(part.x)).logits, part.y)
        learner.zero_grad()
        loss.backward()
    return time.process_time() - begun


def main() -> None:
    """Write the table, take turns, print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=2)
    parser.add_argument("--batch", type=int, default=128)
    options = parser.parse_args()
    torch.set_num_threads(1)
    learner = Learner(SHAPE, width=16, classes=2)
    count = int(options.gigabytes * 2**30) // 3072
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows"
        with path.open("wb") as file:
            for start in range(0, count, 2**16):
                piece = torch.randint(256, (min(2**16, count - start), *SHAPE), dtype=torch.uint8)
                file.write(piece.numpy().data)
        disk = rows_of(all_rows(RowFile(path, SHAPE)))
        memory = rows_of(
            torch.from_file(str(path), size=count * 3072, dtype=torch.uint8)
            .view(-1, *SHAPE)
            .clone()
        )
        times: dict[str, list[float]] = {"disk": [], "memory": []}
        for turn in range(TURNS):
            for name, rows in (("disk", disk), ("memory", memory)):
                times[name].append(seconds(rows, learner, options.batch, turn))
    disk_s, memory_s = (statistics.median(times[name]) for name in ("disk", "memory"))
    print(f"{STEPS} steps of {options.batch}: disk {disk_s:.2f} s, memory {memory_s:.2f} s CPU")
    print(f"images a second, disk / memory: {memory_s / disk_s:.3f} (asked: 0.9)")


if __name__ == "__main__":
    main()
