"""What the commands cost: passes of the backbone, memory, start-up, and how good the estimate of time is.

    python benchmarks/footprint.py [--images 1000] [--tries 3]

Photographs are made of those in ../shared/data/grocery, or of random textures where there are none. Every
command is a process of its own, on one thread; its seconds are CPU seconds and its memory is the peak of
resident memory. Needs the extra ``holdfast[lite]``. Prints one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "grocery"
WATCHED = """
import json, sys
from holdfast.cli import main
from holdfast.learner.lite0 import Lite0
from holdfast.store.update import Update

seen, estimates, forward, estimate = [0], [], Lite0.forward, Update.estimate

def counted(network, x):
    seen[0] += len(x)
    return forward(network, x)

def noted(update):
    estimates.append(estimate(update)[0])
    return estimates[-1], 0

Lite0.forward, Update.estimate = counted, noted
code = main(sys.argv[2:])
open(sys.argv[1], "w").write(json.dumps({"passes": seen[0], "estimates": estimates}))
sys.exit(code)
"""


def photographs(root: Path, count: int, side: int = 224, classes: int = 10) -> None:
    """So many different images in as many folders as there are classes."""
    known = sorted(DATA.glob("train/*/*.jpg"))
    chance = np.random.default_rng(0)
    for i in range(count):
        place = root / f"class{i % classes}"
        place.mkdir(parents=True, exist_ok=True)
        if known:
            with Image.open(known[i % len(known)]) as file:
                picture = file.convert("RGB").resize((side, side))
            if i >= len(known):  # the same scene, from a little further to the left
                picture = picture.crop((i // len(known), 0, side, side)).resize((side, side))
        else:
            pixels = chance.integers(0, 256, (14, 14, 3), dtype=np.uint8)
            picture = Image.fromarray(pixels).resize((side, side))
        picture.save(place / f"{i}.png", compress_level=1)


def cost(command: list[str]) -> tuple[float, float]:
    """CPU seconds and peak GiB of a process, which must succeed."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{' '.join(command[-6:])} failed with {child.returncode}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 2**20


def typical(command: list[str], tries: int) -> float:
    """Median CPU seconds of a process."""
    return round(statistics.median(cost(command)[0] for _ in range(tries)), 2)


def learned(root: Path, *words: str) -> dict[str, object]:
    """What an update took: passes of the backbone, CPU seconds and memory, and the estimate of its time."""
    model, notes = root / f"model{len(list(root.iterdir()))}", root / "notes.json"
    command = [sys.executable, "-c", WATCHED, str(notes), "learn", str(model), *words]
    seconds, memory = cost(command)
    watched = json.loads(notes.read_text())
    manifest = json.loads((model / "versions" / "0001" / "manifest.json").read_text())
    report = {"model": str(model), "cpu": round(seconds, 1), "peak GiB": round(memory, 2)}
    if watched["estimates"]:
        real = manifest["update"]["seconds"]
        report |= {"estimate": round(watched["estimates"][0], 1), "real": round(real, 1)}
    return report | {
        "passes": watched["passes"]
    }  # one more than images: zeros, to size the batches


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--tries", type=int, default=3)
    options = parser.parse_args()
    program = [sys.executable, "-m", "holdfast.cli"]
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        photographs(root / "images", options.images)
        photographs(root / "some", options.images // 10)
        frozen = learned(root, "--data", str(root / "images"), "--backbone", "lite0")
        some = ["--data", str(root / "some")]
        adapt = ["--recipe", "frozen:adapt=norm", "--backbone", "lite0", "--epochs", "2"]
        scratch = ["--recipe", "fnc2_strict", "--size", "32", "--width", "8", "--epochs", "10"]
        image = str(next((root / "images" / "class0").iterdir()))
        predict = [*program, "predict", str(frozen["model"]), image]
        glances = ("--version", "--help", "recipes")
        report = {
            "images": options.images,
            "learn": frozen,
            "predict cpu": typical(predict, options.tries),
            "import torch cpu": typical([sys.executable, "-c", "import torch"], options.tries),
            **{f"{w} cpu": typical([*program, w], options.tries) for w in glances},
            "adapt": [learned(root, *some, *adapt) for _ in range(options.tries)],
            "scratch": [learned(root, *some, *scratch) for _ in range(options.tries)],
        }  # fmt: skip
    print(json.dumps(report))


if __name__ == "__main__":
    main()
