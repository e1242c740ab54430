"""Losses of all pairs: one pass of tiles against the dense form, value and slope.

CPU seconds with pages kept by the allocator, as the command line does; memory without.

    python benchmarks/tiles.py [--rows 8192] [--dim 128] [--repeats 3]
"""

import argparse
from collections.abc import Callable

import torch
from measure import in_turn, peak_memory, row
from torch import Tensor
from torch.nn.functional import normalize

from holdfast.anchor import relation, relation_distillation
from holdfast.core.allocator import keep_freed_memory
from holdfast.learner import simplex_etf
from holdfast.loss import contrast, focal_collapse, sup_con, tiles, uniform, uniformity

Loss = Callable[[Tensor], Tensor]


def losses(rows: int, dim: int) -> dict[str, Loss]:
    """Each on two views of images of ten classes."""
    chance = torch.Generator().manual_seed(0)
    past = normalize(torch.randn(rows, dim, generator=chance), dim=1)
    y, q = torch.arange(rows) % 10, simplex_etf(11, dim)
    return {
        "SupCon": lambda z: sup_con(z, y, 0.1),
        "FNC2, gamma 1": lambda z: focal_collapse(z, y, q, 0.1, 1.0, (10,)),
        "FNC2, gamma 4": lambda z: focal_collapse(z, y, q, 0.1, 4.0, (10,)),
        "IRD": lambda z: relation_distillation(z, past, 0.2, 0.01),
        "S-PRD": lambda z: relation_distillation(z, past, 0.2, 0.1, q),
        "uniformity": uniformity,
    }


def way(loss: Loss, z: Tensor, large: int) -> Callable[[], Tensor]:
    """Value and slope, by tiles from so many rows on; the slope comes back."""

    def work() -> Tensor:
        for place in (contrast, relation, uniform):
            place.LARGE = large
        rows = z.clone().requires_grad_()
        loss(rows).backward()
        assert rows.grad is not None
        return rows.grad

    return work


def main() -> None:
    parser = argparse.ArgumentParser()
    for flag, default in (("rows", 8192), ("dim", 128), ("repeats", 3)):
        parser.add_argument(f"--{flag}", type=int, default=default)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    z = normalize(torch.randn(asked.rows, asked.dim), dim=1)
    ways = {}
    for name, loss in losses(asked.rows, asked.dim).items():
        ways[name] = dense, tiled = way(loss, z, 10**9), way(loss, z, tiles.LARGE)
        a, b = dense(), tiled()
        print(f"  {name:34} slopes differ by {float((a - b).norm() / a.norm()):.1e} of their size")
    print(f"{asked.rows} rows of {asked.dim}: dense, tiled, and their ratio")
    for name, (dense, tiled) in ways.items():
        row(f"{name}, memory", peak_memory(dense), peak_memory(tiled), "MiB", 8)
    keep_freed_memory()
    for name, (dense, tiled) in ways.items():
        row(f"{name}, time", *in_turn(dense, tiled, repeats=asked.repeats), "s", 3)


if __name__ == "__main__":
    main()
