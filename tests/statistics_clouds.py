"""Rows of a past network for tests of drift maps."""

import torch

WIDE = 6


def past(n=400, seed=0):
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(WIDE, WIDE, generator=generator, dtype=torch.float64)
    return torch.randn(n, WIDE, generator=generator, dtype=torch.float64) @ mix + 3


def turn(rank, seed=5):
    generator = torch.Generator().manual_seed(seed)
    a, b = (torch.randn(WIDE, rank, generator=generator, dtype=torch.float64) for _ in range(2))
    return 0.3 * a @ b.T


def noise(x, seed=9):
    return torch.randn(x.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
