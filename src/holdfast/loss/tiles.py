"""Tiles: pairs of rows, some rows at a time, where a loss of all pairs would need several squares.

A loss over N rows compares N^2 pairs; written densely it makes some ten (N, N) matrices, which do not
fit a cache and soon no memory. A tile is a few rows against all N. It holds all that the loss and the
slope of those rows need, so both are made in one pass, and what is kept is (N, d).
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor

LARGE = 2048  # rows from which on losses of all pairs go by tiles
NUMBERS = 2**20  # in a tile: 4 MiB in single precision


def row_blocks(rows: int, width: int) -> Iterator[slice]:
    """Consecutive blocks of rows, as many as make a tile of this width.

    >>> [(block.start, block.stop) for block in row_blocks(20, 2**17)]
    [(0, 8), (8, 16), (16, 20)]
    """
    size = max(NUMBERS // max(width, 1), 1)
    for start in range(0, rows, size):
        yield slice(start, min(start + size, rows))


class Workspace:
    """Room for tiles, taken once: each block writes into the same pages.

    Args:
        like: (N, d) whose type and device count.
        width: of a tile.
        tiles: how many at a time.
    """

    def __init__(self, like: Float[Tensor, "n d"], width: int, tiles: int):
        rows = min(max(NUMBERS // max(width, 1), 1), len(like))
        self.room = like.new_empty(tiles, rows * width)
        self.width = width

    def tile(self, which: int, rows: int) -> Float[Tensor, "b w"]:
        """One of the tiles, for so many rows; what is in it was left by the last block."""
        return self.room[which, : rows * self.width].view(rows, self.width)


def same_class(y: Int[Tensor, " n"]) -> Int[Tensor, " n"]:
    """(N,) how many other rows have a row's class.

    >>> same_class(torch.tensor([3, 1, 3, 3])).tolist()
    [2, 0, 2, 2]
    """
    ordered = y.sort().values
    last = torch.searchsorted(ordered, y, right=True)
    return last - torch.searchsorted(ordered, y) - 1
