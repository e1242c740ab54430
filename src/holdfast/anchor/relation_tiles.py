r"""IRD and S-PRD by tiles, with their slope written by hand (docs/theory.md, section 4).

For s_i = softmax_a(z_i.k_a / now) and s*_i of the past, the cross-entropy of a row is
L_i = log sum_a exp(z_i.k_a / now) - sum_a s*_ia z_i.k_a / now, and dL_i/d(z_i.k_a) = (s_ia - s*_ia) / now.
Where the rows are their own keys, each counts as a row and as a key, and the squares are symmetric.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from holdfast.loss.square_tiles import LOG_2, Square
from holdfast.loss.tiles import Workspace, row_blocks

KEPT_EACH = 3 / 8  # of the bytes that tiles may take for a second pass, for each of the two squares


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
        """Of rows among themselves, or of rows against keys."""
        with torch.autocast(z.device.type, enabled=False):
            if keys is None:
                loss, slope = _among(Square(z, now, KEPT_EACH), Square(z_past, past, KEPT_EACH))
            else:
                loss, slope = _against(z, z_past, now, past, keys)
        ctx.slope = slope.div_(now * len(z))
        return loss / len(z)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor, None, None, None, None]:  # type: ignore[override]
        """The slope times the outer one."""
        return ctx.slope * outer[0], None, None, None, None


def _among(now: Square, past: Square) -> tuple[Tensor, Tensor]:
    """The sum of L_i, and tau times its slope: sums of both squares first, then their difference."""
    log_now, log_past = now.log_sums(), past.log_sums()
    one, slope = torch.ones_like(log_now), torch.zeros_like(now.z)
    mixed = torch.zeros_like(one[0])
    for place in now.places():
        goal = past.weighed(place, one, log_past)
        twice = 2.0 if place.middle else 1.0
        mixed += torch.dot(goal.flatten(), now.tile(place).flatten()) / twice
        now.spread(slope, place, now.weighed(place, one, log_now).sub_(goal))
    return log_now.sum() - mixed * LOG_2, slope


def _against(
    z: Tensor, z_past: Tensor, now: float, past: float, keys: Tensor
) -> tuple[Tensor, Tensor]:
    """The same against keys, some rows at a time."""
    work, loss, slope = Workspace(z, len(keys), 2), torch.zeros_like(z[0, 0]), torch.zeros_like(z)
    for block in row_blocks(len(z), len(keys)):
        s, goal = (work.tile(i, block.stop - block.start) for i in range(2))
        torch.mm(z[block] / now, keys.T, out=s)
        torch.mm(z_past[block] / past, keys.T, out=goal)
        _softmax(goal)
        mixed = torch.dot(goal.flatten(), s.flatten())
        loss += _softmax(s).sum() - mixed
        slope[block] = s.sub_(goal) @ keys
    return loss, slope


def _softmax(tile: Tensor) -> Tensor:
    """In place; (B,) the logs of the sums."""
    top = tile.amax(1, keepdim=True)
    total = tile.sub_(top).exp_().sum(1, keepdim=True)
    tile.div_(total)
    return (total.log() + top)[:, 0]
