"""Kill runs and updates with signal 9 at random moments, and check that nothing is lost.

    python benchmarks/kills.py --moments 20 [--seed 0]

For every moment of a run: it is killed, resumed until it is complete, and must leave the weights and
the accuracies of a run that was never killed, bit for bit. For every moment of an update of a model:
after the kill the model must load and predict as one of its published versions does, and the resumed
update must publish the bits of one that was never killed. Prints one line of JSON. Every trial is a
process of its own, forked from one that has imported everything but computed nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from holdfast.cli import main

RUN = ["run", "fnc2", "--epochs", "3", "--first-epochs", "3", "--width", "4", "--per-class", "20",
       "--test-per-class", "10", "--tasks", "3", "--device", "cpu", "--quiet",
       "--also", "mean"]  # fmt: skip
UPDATE = ["--epochs", "12", "--batch", "8", "--device", "cpu", "--quiet"]


def start(arguments: list[str], out: Path) -> int:
    """A process that carries out a command and prints into a file."""
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        handle = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        code = main(arguments)
        sys.stdout.flush()
    finally:
        os._exit(code)


def finish(arguments: list[str], out: Path) -> None:
    """A command that must succeed."""
    _, status = os.waitpid(start(arguments, out), 0)
    if os.waitstatus_to_exitcode(status):
        raise SystemExit(f"{' '.join(arguments)} failed:\n{out.read_text()}")


def killed(arguments: list[str], out: Path, after: float) -> bool:
    """Whether the kill came before the command's end."""
    child = start(arguments, out)
    time.sleep(after)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def left(folder: Path) -> object:
    """What a run must leave alike."""
    result = json.loads((folder / "result.json").read_text())
    assert result["status"] == "complete", result["status"]
    assert not (folder / "checkpoint.safetensors").exists()
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    log = [(line["task"], line["epoch"], line["loss"]) for line in lines]
    return result["readouts"], log, (folder / "learner.safetensors").read_bytes()


def runs(root: Path, moments: int, chance: random.Random) -> dict[str, object]:
    """Kill runs."""
    begun = time.perf_counter()
    finish([*RUN, "--out", str(root / "whole")], root / "said")
    seconds, whole = time.perf_counter() - begun, left(root / "whole")
    cut = resumed = same = 0
    for moment in range(moments):
        out = ["--out", str(root / f"run{moment}")]
        cut += killed([*RUN, *out], root / "said", chance.uniform(0, seconds))
        resumed += (root / f"run{moment}" / "checkpoint.safetensors").exists()
        finish([*RUN, *out, "--resume"], root / "said")
        same += left(root / f"run{moment}") == whole
        shutil.rmtree(root / f"run{moment}")
    return {"moments": moments, "cut": cut, "from a checkpoint": resumed, "same bits": same}


def pictures(folder: Path) -> None:
    """Noise around a grey of its own for each of five classes, three to begin with and two more."""
    chance = np.random.default_rng(0)
    for c, name in enumerate(("ant", "bee", "cat", "dog", "eel")):
        place = folder / ("new" if c > 2 else "old") / name
        place.mkdir(parents=True)
        for i in range(16):
            pixels = (chance.random((8, 8)) * 60 + 40 * c).astype("uint8")
            Image.fromarray(pixels).save(place / f"{i}.png")


def said(model: Path, root: Path) -> str:
    """What a model predicts."""
    finish(
        ["predict", str(model), str(root / "images"), "--json", "--device", "cpu"], root / "said"
    )
    return (root / "said").read_text()


def version(model: Path) -> tuple[str, int]:
    """The network of the version in use, and its number."""
    current = json.loads((model / "current.json").read_text())["current"]
    manifest = json.loads((model / "versions" / f"{current:04d}" / "manifest.json").read_text())
    return json.dumps(manifest["classes"]), current


def updates(root: Path, moments: int, chance: random.Random) -> dict[str, object]:
    """Kill updates."""
    pictures(root / "images")
    base, new = root / "base", ["--data", str(root / "images" / "new")]
    finish(["learn", str(base), "--data", str(root / "images" / "old"), *UPDATE, "--width", "4"],
           root / "said")  # fmt: skip
    old = said(base, root)
    shutil.copytree(base, root / "straight")
    begun = time.perf_counter()
    finish(["learn", str(root / "straight"), *new, *UPDATE], root / "said")
    seconds, after = time.perf_counter() - begun, said(root / "straight", root)
    assert old != after
    cut = resumed = unhurt = same = 0
    for moment in range(moments):
        model = root / f"model{moment}"
        shutil.copytree(base, model)
        cut += killed(
            ["learn", str(model), *new, *UPDATE], root / "said", chance.uniform(0, seconds)
        )
        resumed += (model / "update.safetensors").exists()
        unhurt += said(model, root) == (old if version(model)[1] == 1 else after)
        finish(["learn", str(model), *new, *UPDATE, "--resume"], root / "said")
        same += said(model, root) == after and version(model) == version(root / "straight")
        shutil.rmtree(model)
    return {"moments": moments, "cut": cut, "from a checkpoint": resumed,
            "predicts as published": unhurt, "same answers": same}  # fmt: skip


if __name__ == "__main__":
    reader = argparse.ArgumentParser()
    reader.add_argument("--moments", type=int, default=20)
    reader.add_argument("--seed", type=int, default=0)
    asked = reader.parse_args()
    chosen = random.Random(asked.seed)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        found = {
            "run": runs(place, asked.moments, chosen),
            "update": updates(place, asked.moments, chosen),
        }
    print(json.dumps(found))
