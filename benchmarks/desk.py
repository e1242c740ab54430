"""Desk CIFAR-10: ten methods, three blocks, strict and auxiliary(200).

    python benchmarks/desk.py --data PATH --out FOLDER [--what methods|parts|distilled] [--blocks 3]
                              [--workers 2] [--only GROUPS] [--length third|full] [--precision 32-true]

Class-IL, the last model, 500 training and 500 test images a class, 5 tasks of 2 classes, ResNet-18 of width
16, 50 epochs on the first task and 25 on each later one, or a third of that. A block is a pair of
seed and order of the classes. Every network that distils or is anchored is trained once: 200 stored images
train a probe alone (auxiliary(200)), and what stores nothing reads the same network (strict). Called again
it goes on. About an hour a block on one core. ``--what parts`` runs parts and the recipes built of them in
their place, ``--what distilled`` what distils, read in every strict way, beside an anchor.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from blocks import READ, READ_TWICE, chosen, run_blocks

THIRD = {"epochs": [8], "first_epochs": [16]}
ALPHA = {f"{recipe}.alpha": ["delayed:3,6"] for recipe in ("fnc2", "fnc2_strict")}  # a third of it
METHODS = {
    "contrast": (
        ["fnc2_strict", "fnc2", "co2l"],
        {"also": ["gaussian"]} | READ_TWICE,
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
DISTILLED = {
    "strict": (["fnc2_strict"], {"also": [READ]} | READ_TWICE),
    "logits": (["lwf_strict"], {"also": [READ]} | READ_TWICE),
    "anchor": (["online_ewc"], {"also": [f"head,{READ}"]} | READ_TWICE),
    "distilled": (["fnc2", "co2l", "lwf"], {"also": [READ]} | READ_TWICE),
}
WHAT = {"methods": METHODS, "parts": PARTS, "distilled": DISTILLED}


def main() -> None:
    """Run what is missing, block by block, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="CIFAR-10 as parquet files or folders")
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--what", choices=list(WHAT), default="methods")
    parser.add_argument("--blocks", type=int, default=3)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--only", help="groups, with commas between")
    parser.add_argument("--length", choices=["third", "full"], default="third")
    parser.add_argument("--precision", choices=["32-true", "bf16-mixed"], default="32-true")
    options = parser.parse_args()
    groups = chosen(WHAT[options.what], options.only)
    third = options.length == "third"
    groups = {
        name: (of, how | alpha_of(of)) if third else (of, how) for name, (of, how) in groups.items()
    }
    settings = {"precision": [options.precision]} | (THIRD if third else {})
    where = f"cifar10={options.data}", options.out, options.blocks, options.workers
    run_blocks(groups, *where, settings, test_per_class=500)


def alpha_of(recipes: Sequence[str]) -> dict[str, list[str]]:
    """HSD's schedule at a third of the preset's length, for the recipes that have one."""
    return {key: value for key, value in ALPHA.items() if key.split(".")[0] in recipes}


if __name__ == "__main__":
    main()
