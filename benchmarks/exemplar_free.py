"""Fifty classes from scratch, five at a time, nothing stored: what was published beside fnc2_strict.

    python benchmarks/exemplar_free.py --data PATH --out FOLDER [--blocks 3] [--workers 2] [--only GROUPS]
                                       [--width 16] [--precision 32-true]

50 classes of Tiny ImageNet at 32 pixels, 100 training and 50 test images a class, 10 tasks of 5 classes,
cold start; ResNet-18, 10 epochs on the first task and 5 on each later one, batches of 128. A block is a
pair of seed and order of the classes. 200 stored images train a probe alone (auxiliary(200)); what stores
nothing reads the same network (strict). The groups `no_gpm` and `no_turns` are the paired ablations of
fnc2_strict; ceiling.py trains probes of a run's network on all images. Called again it goes on. An hour
of CPU a block at width 16; at width 32 in bf16-mixed about the same, where the processor multiplies
matrices of 16 bit (AMX).
"""

from __future__ import annotations

import argparse
from pathlib import Path

from blocks import READ, READ_TWICE, chosen, run_blocks

LENGTH = {"epochs": [5], "first_epochs": [10]}
ALPHA = {"fnc2_strict.alpha": ["delayed:2,4"]}  # the preset's, at a fifth of the length
AS_PUBLISHED = "class-gaussian:gamma1=3:normalise=yes:determinant=no"  # of AdaGauss and GATF
FIRST = {f"fnc2_strict.{name}": ["0"] for name in ("rotations", "gpm")}
FIRST |= {"fnc2_strict.decide": ["gaussian:drift=ridge"], "also": ["gaussian:drift=ridge"]}
BOTH = ALPHA | {"also": [READ]}
GROUPS = {
    "second": (["fnc2_strict"], BOTH),
    "lwf": (["lwf_strict"], {"also": [READ]}),
    "first": (["fnc2_strict"], ALPHA | FIRST),
    "maps": (["adagauss", "gatf"], {"also": [f"{AS_PUBLISHED},{READ}"]}),
    "means": (["fetril"], {"also": [f"head,{AS_PUBLISHED},{READ}"]}),
    "heads": (["dpcr", "efc"], {"also": [f"ridge:unit=yes,pseudo-head,{READ}"]}),
    "no_gpm": (["fnc2_strict"], BOTH | {"fnc2_strict.gpm": ["0"]}),
    "no_turns": (["fnc2_strict"], BOTH | {"fnc2_strict.rotations": ["0"]}),
}


def main() -> None:
    """Run what is missing, block by block, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="parquet files or folders of 50 classes")
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--blocks", type=int, default=3)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--precision", choices=["32-true", "bf16-mixed"], default="32-true")
    parser.add_argument("--only", help="groups, with commas between")
    options = parser.parse_args()
    where = f"tiny50={options.data}", options.out, options.blocks, options.workers
    groups = chosen(GROUPS, options.only)
    size = {"width": [options.width], "precision": [options.precision]}
    run_blocks(groups, *where, LENGTH | size | READ_TWICE, tasks=10, per_class=100, size=32)


if __name__ == "__main__":
    main()
