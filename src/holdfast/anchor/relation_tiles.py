r"""IRD and S-PRD by tiles, with their slope written by hand (docs/theory.md, section 4).

For s_i = softmax_a(z_i.k_a / now) and s*_i of the past, the cross-entropy of a row is
L_i = log sum_a exp(z_i.k_a / now) - sum_a s*_ia z_i.k_a / now, and dL_i/d(z_i.k_a) = (s_ia - s*_ia) / now.
Where the rows are their own keys, each counts as a row and as a key.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from holdfast.loss.tiles import Workspace, own_places, row_blocks


def relations_by_tiles(
    z: Float[Tensor, "n d"],
    z_past: Float[Tensor, "n d"],
    now: float,
    past: float,
    keys: Float[Tensor, "k d"] | None = None,
) -> Float[Tensor, ""]:
    """The mean of L_i; the arguments are those of `relation_distillation`, in at least float32."""
    return _Tiled.apply(z, z_past, now, past, keys)  # type: ignore[no-any-return]


class _Tiled(Function):
    """The mean; its slope is made on the way."""

    @staticmethod
    def forward(
        ctx: Any, z: Tensor, z_past: Tensor, now: float, past: float, keys: Tensor | None
    ) -> Tensor:
        """Block after block."""
        here, then = (z, z_past) if keys is None else (keys, keys)
        work = Workspace(z, len(here), 2)
        loss, slope = z.new_empty(len(z)), torch.zeros_like(z)
        with torch.autocast(z.device.type, enabled=False):
            for block in row_blocks(len(z), len(here)):
                tiles = [work.tile(i, block.stop - block.start) for i in range(2)]
                torch.mm(z[block] / now, here.T, out=tiles[0])
                torch.mm(z_past[block] / past, then.T, out=tiles[1])
                s_past = _softmax(tiles[1], block, keys)[0]
                if keys is None:
                    own_places(tiles[0], block).zero_()  # for 0 times -inf is not 0
                mixed = torch.linalg.vecdot(s_past, tiles[0])
                s, log_sum = _softmax(tiles[0], block, keys)
                loss[block] = log_sum - mixed
                gap = s.sub_(s_past)
                slope[block] += gap @ here
                if keys is None:
                    slope.addmm_(gap.T, z[block])
        ctx.slope = slope.div_(now * len(z))
        return loss.mean()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor, None, None, None, None]:  # type: ignore[override]
        """The slope times the outer one."""
        return ctx.slope * outer[0], None, None, None, None


def _softmax(tile: Tensor, block: slice, keys: Tensor | None) -> tuple[Tensor, Tensor]:
    """In place, without a row's own place where rows are the keys; and (B,) the logs of the sums."""
    if keys is None:
        own_places(tile, block).fill_(-torch.inf)
    top = tile.amax(1, keepdim=True)
    total = tile.sub_(top).exp_().sum(1, keepdim=True)
    return tile.div_(total), (total.log() + top)[:, 0]
