r"""Uniformity by tiles, with its slope written by hand.

With e_ij = -t max(2 - 2 z_i.z_j, 0) of unit rows and U = log sum_{i<j} exp e_ij,
dU/dz_i = 2 t sum_j exp(e_ij - U) z_j. The sum runs over tiles right of the diagonal; their largest
exponent so far is taken out, and what was added before is scaled down where it grows.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from holdfast.loss.tiles import row_blocks


def log_sum_of_pairs(
    z: Float[Tensor, "n d"], there: Bool[Tensor, " n"], t: float
) -> Float[Tensor, ""]:
    """U = log sum_{i<j} exp(-t ||z_i - z_j||^2) over the rows that are there.

    Args:
        z: (N, d) unit rows in at least float32.
        there: (N,) rows that count.
        t: sharpness.
    """
    return _Tiled.apply(z, there, t)  # type: ignore[no-any-return]


class _Tiled(Function):
    """U; its slope is made on the way."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, there: Tensor, t: float) -> Tensor:
        """Block after block of rows, against themselves and those after them."""
        top, total, slope = z.new_full((), -torch.inf), z.new_zeros(()), torch.zeros_like(z)
        with torch.autocast(z.device.type, enabled=False):
            for block in row_blocks(len(z), len(z)):
                rows, others = z[block], z[block.start :]
                e = (rows @ others.T).mul_(2 * t).sub_(2 * t).clamp_max_(0.0)
                e.masked_fill_(~there[block.start :], -torch.inf)
                e.masked_fill_(~there[block, None], -torch.inf)
                first = e[:, : len(rows)]
                first.masked_fill_(torch.ones_like(first, dtype=torch.bool).tril_(), -torch.inf)
                peak = torch.maximum(top, e.max()).clamp_min(torch.finfo(z.dtype).min)
                shrink, p = (top - peak).exp(), e.sub_(peak).exp_()
                total, top = total * shrink + p.sum(), peak
                slope.mul_(shrink)
                slope[block] += p @ others
                slope[block.start :].addmm_(p.T, rows)
        ctx.slope = slope.mul_(2 * t / (total + (total == 0)))
        return total.log() + top

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        """The slope times the outer one."""
        return ctx.slope * outer[0], None, None
