"""The temperature: safeguarded Newton on single-precision rows against 50 halvings in double precision.

python benchmarks/temperature.py [--rows 20000] [--classes 1000] [--repeats 3]
"""

import argparse
import math

import torch
from measure import in_turn, row
from torch import Tensor

from holdfast.core.allocator import keep_freed_memory
from holdfast.metrics import fit_temperature

BOUND = math.log(1e4)


def halvings(scores: Tensor, y: Tensor) -> float:
    """Where the slope in log 1/T is zero, each class counting alike, by 50 halvings in float64."""
    scores = scores.double()
    right = scores.gather(1, y[:, None])[:, 0]
    count = torch.bincount(y, minlength=scores.shape[1])
    share = 1 / (count[y] * (count > 0).sum()).double()
    low, high = -BOUND, BOUND
    for _ in range(50):
        middle = (low + high) / 2
        mean = (torch.softmax(scores * math.exp(middle), 1) * scores).sum(1)
        low, high = (low, middle) if float(share @ (mean - right)) > 0 else (middle, high)
    return math.exp(-(low + high) / 2)


def main() -> None:
    parser = argparse.ArgumentParser()
    for flag, default in (("rows", 20_000), ("classes", 1000), ("repeats", 3)):
        parser.add_argument(f"--{flag}", type=int, default=default)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    chance = torch.Generator().manual_seed(0)
    scores = 3 * torch.randn(asked.rows, asked.classes, generator=chance)
    y = torch.multinomial(torch.softmax(scores / 1.5, 1), 1, generator=chance)[:, 0]
    before, now = halvings(scores, y), fit_temperature(scores, y)
    print(f"temperature {before:.7f}, {now:.7f}: {abs(now / before - 1):.1e} apart (asked: 1e-5)")
    ways = (lambda: halvings(scores, y), lambda: fit_temperature(scores, y))
    row(f"{asked.rows} x {asked.classes}", *in_turn(*ways, repeats=asked.repeats), "s", 20)


if __name__ == "__main__":
    main()
