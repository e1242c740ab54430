"""What a step of fnc2 in the second task takes at most: the engine against a bare loop of the same step.

Each is a process of its own that learns two epochs of one step; what its imports took is left out. With
``--keep`` both keep freed memory for themselves, as the command line does: faster, and more of it.

    python benchmarks/memory.py [--images 512] [--width 64] [--keep]
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

from measure import status

from holdfast.core.allocator import keep_freed_memory


def child(who: str, images: int, width: int, keep: bool) -> None:
    """Learn in this process, and print MiB: what it took at most, beyond its imports."""
    import overhead

    if keep:
        keep_freed_memory()
    stream = overhead.made_up_stream(images)
    before = status("VmRSS")
    way = overhead.engine if who == "engine" else overhead.bare
    way("fnc2", stream, width, images)
    print(json.dumps(status("VmHWM") - before))


def peak(who: str, images: int, width: int, keep: bool) -> float:
    """MiB of a process of its own."""
    words = [sys.executable, __file__, "--who", who, "--images", str(images), "--width", str(width)]
    done = subprocess.run(
        words + ["--keep"] * keep,
        check=True,
        capture_output=True,
        text=True,
        env=os.environ,
        cwd=Path(__file__).parent,
    )
    return float(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    parser = argparse.ArgumentParser()
    for flag, default in (("images", 512), ("width", 64)):
        parser.add_argument(f"--{flag}", type=int, default=default)
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--who", choices=("engine", "bare"))
    asked = parser.parse_args()
    if asked.who:
        child(asked.who, asked.images, asked.width, asked.keep)
        return
    size = (asked.images, asked.width, asked.keep)
    ours, plain = peak("engine", *size), peak("bare", *size)
    print(f"{asked.images} images x 2 views, width {asked.width}, second task, MiB at most:")
    print(f"  engine {ours:.0f}, bare loop {plain:.0f}: {ours / plain:.2f} (asked: 1.0)")


if __name__ == "__main__":
    main()
