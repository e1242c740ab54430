"""Random numbers and overlapping clouds of features for tests."""

import torch

from holdfast.learner import Output

EVEN, UNEVEN = (20, 20, 20, 20), (9, 40, 16, 31)


def normal(seed, *shape):
    """Standard normal numbers in float64, the same for one seed."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def clouds(sizes, seed=0, wide=5):
    """Overlapping, correlated clouds of features and their classes."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(len(sizes), wide, generator=torch.Generator().manual_seed(7))
    mix = torch.randn(wide, wide, generator=torch.Generator().manual_seed(8))
    y = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    return 1.5 * centres[y] + torch.randn(len(y), wide, generator=generator) @ mix / 2, y


def said(x):
    return Output(x, torch.nn.functional.normalize(x, dim=1), x, x)


def by_class(x, y):
    """A task a class."""
    return [(x[y == c], y[y == c]) for c in range(int(y.max()) + 1)]
