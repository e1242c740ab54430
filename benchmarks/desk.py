"""Desk CIFAR-10 at a third of the preset's length: ten methods, three blocks, strict and auxiliary(200).

    python benchmarks/desk.py --data PATH --out FOLDER [--what methods|parts] [--blocks 3] [--workers 2]

Class-IL, the last model, 500 training and 500 test images a class, 5 tasks of 2 classes, ResNet-18 of width
16, 16 epochs on the first task and 8 on each later one. A block is a pair of seed and order of the
classes. Every network that distils or is anchored is trained once: 200 stored images train a probe alone
(auxiliary(200)), and what stores nothing reads the same network (strict). Called again it goes on.
About an hour a block on one core. ``--what parts`` runs parts and the recipes built of them in their place.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from blocks import run_blocks

LENGTH = {"epochs": [8], "first_epochs": [16]}
READ_TWICE = {"protocol": ["auxiliary"], "images": [200]}
ALPHA = ["delayed:3,6"]  # the preset's, at a third of the length
METHODS = {
    "contrast": (
        ["fnc2_strict", "fnc2", "co2l"],
        {"also": ["gaussian"], "fnc2.alpha": ALPHA, "fnc2_strict.alpha": ALPHA} | READ_TWICE,
    ),
    "softmax": (
        ["lwf_strict", "lwf", "online_ewc", "si", "finetune"],
        {"also": ["head,gaussian"]} | READ_TWICE,
    ),
    "replay": (["derpp"], {"also": ["gaussian"], "images": [200]}),
    "bound": (["joint"], {}),
}
PARTS = {
    "subspace": (
        ["gpm", "coso", "grassmann"],
        {"also": ["head,gaussian"], "coso.side": ["in", "out"]},
    ),
    "isolation": (["masks", "sparse"], {}),
    "added": (["lwf_strict"], {"also": ["head"], "lwf_strict.add": ["none", "decoupled_mixup"]}),
    "memory": (["er"], {"er.add": ["none", "leverage_memory:images=200"], "images": [200]}),
}


def main() -> None:
    """Run what is missing, block by block, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="CIFAR-10 as parquet files or folders")
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--what", choices=["methods", "parts"], default="methods")
    parser.add_argument("--blocks", type=int, default=3)
    parser.add_argument("--workers", type=int, default=0)
    options = parser.parse_args()
    groups = METHODS if options.what == "methods" else PARTS
    where = f"cifar10={options.data}", options.out, options.blocks, options.workers
    run_blocks(groups, *where, LENGTH, test_per_class=500)


if __name__ == "__main__":
    main()
