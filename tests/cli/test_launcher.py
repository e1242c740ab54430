"""A run that a launcher such as torchrun starts: processes that find each other by their environment."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import holdfast

WORDS = [
    sys.executable, "-m", "holdfast", "run", "finetune", "--stream", "digits", "--tasks", "2",
    "--per-class", "4", "--test-per-class", "2", "--epochs", "1", "--width", "4", "--batch", "8",
    "--devices", "2", "--device", "cpu", "--out", "out",
]  # fmt: skip


def launched(folder, words, count=2):
    """Exit codes and outputs of processes with the environment that torchrun gives."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(count),
        "PYTHONPATH": str(Path(holdfast.__file__).parents[1]), "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    processes = [
        subprocess.Popen(
            words,
            cwd=folder,
            env=os.environ | common | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(count)
    ]
    outputs = [process.communicate(timeout=240)[0] for process in processes]
    return [process.returncode for process in processes], outputs


def test_processes_of_a_launcher_learn_together_and_the_first_alone_prints(tmp_path):
    codes, (first, second) = launched(tmp_path, WORDS)
    assert codes == [0, 0], first + second
    assert "on 2 devices" in first and second.strip() == ""
    assert json.loads((tmp_path / "out" / "result.json").read_text())["status"] == "complete"
