"""Which samples stand for a class."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor


def at_random(count: int, keep: int, generator: torch.Generator) -> Int[Tensor, " k"]:
    """A uniform choice of at most ``keep`` of ``count``, in random order."""
    return torch.randperm(count, generator=generator, device=generator.device)[:keep]


def herding(features: Float[Tensor, "n f"], keep: int) -> Int[Tensor, " k"]:
    """Greedy choice whose running mean stays nearest to the mean of all rows; best first.

    Source: Welling, *Herding dynamical weights* (2009), as in iCaRL (Rebuffi et al., 2017).

    >>> herding(torch.tensor([[0.0], [1.0], [5.0]]), 2).tolist()  # mean 2: 1 is nearest, then (1+5)/2
    [1, 2]
    """
    mean, total = features.mean(0), torch.zeros_like(features[0])
    left = torch.ones(len(features), dtype=torch.bool, device=features.device)
    chosen: list[int] = []
    for k in range(1, min(keep, len(features)) + 1):
        distance = ((total + features) / k - mean).norm(dim=1).masked_fill(~left, torch.inf)
        best = int(distance.argmin())
        chosen.append(best)
        left[best] = False
        total = total + features[best]
    return torch.tensor(chosen, device=features.device)
