"""What a command costs before it does anything: CPU seconds of processes, in turn, against torch alone.

A model of vectors is learned, and asked about two rows; the byte code of all modules is there, as it is
after an installation.

    python benchmarks/startup.py [--repeats 5]
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from holdfast.cli import main as command


def seconds(words: list[str]) -> float:
    """CPU seconds of one process, on one thread."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run(
        [sys.executable, *words],
        check=True,
        env=environment | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    with tempfile.TemporaryDirectory() as folder:
        file, model = str(Path(folder) / "rows.npz"), str(Path(folder) / "model")
        x = np.random.default_rng(0).normal(size=(12, 4)).astype(np.float32)
        np.savez(file, x=x, y=np.array(["ant", "bee"] * 6))
        assert command(["learn", model, "--data", file, "--quiet"]) == 0
        cli = ["-m", "holdfast.cli"]
        ways = {
            "import torch": ["-c", "import torch"],
            "predict": [*cli, "predict", model, file],
            "--version": [*cli, "--version"],
            "recipes": [*cli, "recipes"],
        }
        for words in ways.values():
            seconds(words)  # leaves byte code behind
        turns = [[seconds(words) for words in ways.values()] for _ in range(repeats)]
    torch_alone = statistics.median(turn[0] for turn in turns)
    for i, name in enumerate(ways):
        median = statistics.median(turn[i] for turn in turns)
        ratio = statistics.median(turn[i] / turn[0] for turn in turns)
        print(f"  {name:14} {median:6.2f} s, {ratio:5.2f} of torch alone ({torch_alone:.2f} s)")


if __name__ == "__main__":
    main()
