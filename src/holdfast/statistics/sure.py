"""Rows for which a classifier's answer stands in for a label: the sure ones, and enough of each class."""

from __future__ import annotations

from jaxtyping import Bool, Float
from torch import Tensor

SURE, LEAST, FLOOR = 0.9, 10, 0.5


def confident(
    p: Float[Tensor, "n k"], sure: float = SURE, least: int = LEAST, floor: float = FLOOR
) -> Bool[Tensor, " n"]:
    """(N,) whether a row counts for its likeliest class.

    It does with a probability of at least ``sure``. Where fewer than ``least`` rows of a class have
    that, its likeliest rows do, up to ``least`` and down to ``floor``: with few rows a class, one more
    is worth more than the few wrong ones that it brings (docs/classes.md has figures).

    Args:
        p: probabilities.
        sure: of a row that always counts.
        least: rows a class, if there are so many.
        floor: below which no row counts.

    >>> import torch
    >>> p = torch.tensor([[0.95, 0.05], [0.7, 0.3], [0.6, 0.4], [0.4, 0.6]])
    >>> confident(p, least=2).tolist()
    [True, True, False, True]
    """
    best, label = p.max(1)
    counts = best >= sure
    for k in label.unique().tolist():
        mine = (label == k).nonzero()[:, 0]
        mine = mine[best[mine].argsort(descending=True, stable=True)]
        few = mine[:least]
        counts[few[best[few] >= floor]] = True
    return counts
