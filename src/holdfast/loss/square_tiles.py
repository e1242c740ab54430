r"""Tiles of a square of similarities s = z z^T / tau: each serves its rows and, transposed, its columns.

The square is symmetric, so only tiles on and above the diagonal are made: half the products of rows with
rows. A slope of sum_ij g_ij s_ij is (G + G^T) z / tau, and G + G^T is symmetric too, so that it takes as
many products as the square has tiles. Losses whose rows are divided by sums D_i need them before G, which
takes a second pass; tiles of the first that fit in `KEPT` bytes are kept for it.

    W_ij = a_i exp(s_ij) / D_i + a_j exp(s_ij) / D_j

is what each of them needs of a tile. Where exp(s - 1 / tau) of unit rows stays inside the type's range, it
is one exponential for both sides; otherwise each side has its own. A tile holds s in bits, s / log 2, since
powers of two cost half of what powers of e do; what would be denormal is the least normal number, since a
denormal costs thirty times as much.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from holdfast.loss import tiles

KEPT = 2**26  # bytes of tiles that stay for a second pass
INSIDE = 0.9  # of the exponents that a type can represent
FAR = -1e12  # in bits: below whatever else may stand in a tile
LOG_2 = math.log(2)


class Place(NamedTuple):
    """Where a tile is: rows and columns, which are the same on the diagonal."""

    rows: slice
    cols: slice

    @property
    def middle(self) -> bool:
        """Whether the tile is on the diagonal: then it holds each pair twice."""
        return self.rows == self.cols


class Square:
    """The tiles of z z^T / temperature on and above the diagonal, as often as they are asked for.

    Where a row meets itself stands `FAR`, whose power is as good as 0, and so is their product.

    Args:
        z: (N, d) unit rows in at least float32.
        temperature: what products are divided by.
        share: of the bytes in `KEPT`, what tiles that stay may take.
    """

    def __init__(self, z: Float[Tensor, "n d"], temperature: float, share: float = 1.0):
        self.z, self.bits = z, z / (temperature * LOG_2)
        self.side = min(max(math.isqrt(tiles.NUMBERS // 4), 1), max(len(z), 1))
        self.left, self.kept = int(share * KEPT) // z.element_size(), {}
        limits = torch.finfo(z.dtype)
        self.low, self.least = FAR, math.log2(limits.tiny)
        self.narrow = 2 / temperature < -self.least * LOG_2 * INSIDE

    @cached_property
    def top(self) -> Float[Tensor, ""]:
        """What no s is above, in bits."""
        return (self.z * self.bits).sum(1).amax()

    @cached_property
    def rooms(self) -> Float[Tensor, "r p"]:
        """Room for a tile that is not kept, and for two that are made of it."""
        return self.z.new_empty(3, self.side**2)

    def room(self, which: int, place: Place) -> Float[Tensor, "b c"]:
        """One of the rooms in a tile's shape; what is in it was left by the last tile."""
        high, wide = (part.stop - part.start for part in place)
        return self.rooms[which, : high * wide].view(high, wide)

    def places(self) -> Iterator[Place]:
        """Of all tiles, those of the first rows first."""
        parts = [
            slice(start, min(start + self.side, len(self.z)))
            for start in range(0, len(self.z), self.side)
        ]
        for i, rows in enumerate(parts):
            for cols in parts[i:]:
                yield Place(rows, cols)

    def tile(self, place: Place) -> Float[Tensor, "b c"]:
        """S of a tile, to be read only."""
        start = (place.rows.start, place.cols.start)
        if start in self.kept:
            return self.kept[start]
        tile = self.room(0, place)
        if self.left >= tile.numel():
            self.left -= tile.numel()
            tile = self.kept[start] = torch.empty_like(tile)
        torch.mm(self.bits[place.rows], self.z[place.cols].T, out=tile)
        if place.middle:
            tile.diagonal().fill_(self.low)
        return tile

    def log_sums(self) -> Float[Tensor, " n"]:
        """(N,) log sum_{a != i} exp s_ia, by one pass."""
        total, top = torch.zeros_like(self.z[:, 0]), torch.full_like(self.z[:, 0], self.low)
        for place in self.places():
            s, sides = self.tile(place), ((1, place.rows), (0, place.cols))[: 2 - place.middle]
            p = self._power(s, self.top, self.room(1, place)) if self.narrow else None
            for dim, part in sides:
                if p is not None:
                    total[part] += p.sum(dim)
                    continue
                peak = torch.maximum(top[part], s.amax(dim))
                each = self._power(s, peak.unsqueeze(dim), self.room(1, place))
                total[part] = total[part] * (top[part] - peak).exp2_() + each.sum(dim)
                top[part] = peak
        return total.log2_().add_(self.top if self.narrow else top).mul_(LOG_2)

    def _power(self, s: Tensor, less: Tensor, out: Tensor) -> Tensor:
        """2^(s - less), but nothing denormal."""
        return torch.sub(s, less, out=out).clamp_min_(self.least).exp2_()

    def weighed(
        self, place: Place, share: Float[Tensor, " n"], log_d: Float[Tensor, " n"]
    ) -> Float[Tensor, "b c"]:
        """W of a tile, in the first room after its own; both are written.

        Args:
            place: of the tile.
            share: (N,) a.
            log_d: (N,) log D.
        """
        s, out, spare = self.tile(place), self.room(1, place), self.room(2, place)
        (rows, cols), log_d = place, log_d / LOG_2
        if self.narrow:
            scale = share * (self.top - log_d).exp2_()
            self._power(s, self.top, out)
            return out.mul_(torch.add(scale[rows, None], scale[cols], out=spare))
        self._power(s, log_d[rows, None], out).mul_(share[rows, None])
        self._power(s, log_d[cols], spare).mul_(share[cols])
        return out.add_(spare)

    def spread(self, slope: Float[Tensor, "n d"], place: Place, w: Float[Tensor, "b c"]) -> None:
        """Add a tile's part of W z to the slope."""
        rows, cols = place
        slope[rows].addmm_(w, self.z[cols])
        if not place.middle:
            slope[cols].addmm_(w.T, self.z[rows])
