r"""SupCon and FNC2 by tiles, with their slope written by hand (docs/theory.md, section 3).

For an anchor i with the positives P(i), s_ia = z_i.z_a / tau, and contrasts D_i = sum_a exp s_ia over the
other rows, the old prototypes and perhaps its own one:

    L_i  = -1/n_i [ sum_{j in P(i)} f(l_ij) + f(l_i,own) ],   l = s - log D_i,   f(l) = (1 - e^l)^gamma l,
    dL_i/ds_ia = -1/n_i [ [a in P(i)] f'(l_ia) - F_i e^{l_ia} ],   F_i = sum of f'(l) over its positives,
    f'(l) = (1 - e^l)^gamma - gamma e^l (1 - e^l)^{gamma - 1} l.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from holdfast.loss.tiles import Workspace, own_places, row_blocks, same_class, similarities


@dataclass(frozen=True)
class Contrast:
    """What rows are contrasted with.

    Attributes:
        y: (N,) class of each row.
        anchors: (N,) rows that count.
        tau: temperature.
        gamma: focal exponent.
        target: (N, d) the prototype of each row's class; None for SupCon.
        repel: (O, d) old prototypes.
        closed: whether a row's own prototype counts among its contrasts.
    """

    y: Int[Tensor, " n"]
    anchors: Bool[Tensor, " n"]
    tau: float
    gamma: float = 0.0
    target: Float[Tensor, "n d"] | None = None
    repel: Float[Tensor, "o d"] | None = None
    closed: bool = True


def contrast_by_tiles(
    z: Float[Tensor, "n d"], contrast: Contrast
) -> tuple[Float[Tensor, ""], Float[Tensor, " n"], Bool[Tensor, " n"]]:
    """The sum of L_i over anchors that have a positive; (N,) mean focal weights; (N,) which count.

    Args:
        z: (N, d) unit rows in at least float32.
        contrast: what they are contrasted with.
    """
    total, weight = _Tiled.apply(z, contrast)  # type: ignore[misc]
    alone = contrast.target is None
    kept = contrast.anchors & (same_class(contrast.y) > 0) if alone else contrast.anchors
    return total, weight, kept


class _Tiled(Function):
    """The sum and the weights; its slope is made on the way, while a tile is at hand."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, contrast: Contrast) -> tuple[Tensor, Tensor]:
        """Block after block."""
        positives = same_class(contrast.y).to(z) + (contrast.target is not None)
        share = contrast.anchors / positives.clamp_min(1)
        loss, weight, work = (
            torch.zeros_like(share),
            torch.zeros_like(share),
            Workspace(z, len(z), 4),
        )
        slope = torch.zeros_like(z) if ctx.needs_input_grad[0] else None
        with torch.autocast(z.device.type, enabled=False):
            for block in row_blocks(len(z), len(z)):
                tile = _Tile(z, contrast, block, work)
                loss[block], weight[block] = tile.sums()
                if slope is not None:
                    tile.add_slope(slope, share[block, None])
        ctx.slope = None if slope is None else slope / contrast.tau
        ctx.mark_non_differentiable(weight)
        return -(loss * share).sum(), weight / positives.clamp_min(1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        """The slope times the outer one."""
        return ctx.slope * outer[0], None


class _Tile:
    """A block of rows against all: l in one tile, e^l in another, f' of the positives in a third."""

    def __init__(self, z: Tensor, contrast: Contrast, block: slice, work: Workspace):
        rows = block.stop - block.start
        self.z, self.block, self.contrast = z, block, contrast
        self.log_p, self.p, self.steep, self.same = (work.tile(i, rows) for i in range(4))
        similarities(z, block, contrast.tau, self.log_p)
        self._prototypes()
        top = self.log_p.amax(1, keepdim=True)
        torch.sub(self.log_p, top, out=self.p).exp_()
        log_d = self.p.sum(1, keepdim=True).log_().add_(top)
        if self.extra is not None:
            log_d = torch.logaddexp(log_d, self.extra.logsumexp(1, keepdim=True))
        self.p.mul_((top - log_d).exp_())
        self.log_p.sub_(log_d)
        own_places(self.log_p, block).zero_()
        self.log_d = log_d
        self._focus()

    def _prototypes(self) -> None:
        """Similarity to the own prototype, and to all that count among the contrasts."""
        contrast, z = self.contrast, self.z[self.block] / self.contrast.tau
        self.target = self.extra = None
        if contrast.target is not None:
            self.target = (z * contrast.target[self.block]).sum(1, keepdim=True)
        parts = [] if contrast.repel is None else [z @ contrast.repel.T]
        if self.target is not None and contrast.closed:
            parts.append(self.target)
        if parts:
            self.extra = torch.cat(parts, 1)

    def _focus(self) -> None:
        """F and f' of the positives: sums over each row, and f' of each in its tile."""
        gamma, classes = self.contrast.gamma, self.contrast.y.to(self.same)
        self.same.copy_(classes.expand_as(self.same)).eq_(classes[self.block, None])
        own_places(self.same, self.block).zero_()
        self.log_p.mul_(self.same)
        weight = focal_steepness(self.log_p, self.p, gamma, self.same, self.steep)
        self.value = torch.linalg.vecdot(weight, self.log_p)
        self.weight = weight.sum(1)
        self.force = self.steep.sum(1, keepdim=True)
        if self.target is not None:
            log_r = self.target - self.log_d
            self.pull, one = torch.empty_like(log_r), torch.ones_like(log_r)
            focus = focal_steepness(log_r, log_r.exp(), gamma, one, self.pull)
            self.value += (focus * log_r)[:, 0]
            self.weight += focus[:, 0]
            self.force += self.pull

    def sums(self) -> tuple[Tensor, Tensor]:
        """(B,) sums of f, and of the focal weights, over each row's positives."""
        return self.value, self.weight

    def add_slope(self, slope: Tensor, share: Tensor) -> None:
        """Add these rows' part of tau times the slope of all rows."""
        z, block, contrast = self.z, self.block, self.contrast
        pairs = self.p.mul_(self.force).sub_(self.steep)
        slope[block] += (pairs @ z).mul_(share)
        slope.addmm_(pairs.T, z[block] * share)
        if self.extra is not None:
            repel = (self.extra - self.log_d).exp_().mul_(self.force * share)
            vectors = contrast.repel
            if vectors is not None:
                slope[block] += repel[:, : len(vectors)] @ vectors
            if contrast.closed and contrast.target is not None:
                slope[block] += repel[:, -1:] * contrast.target[block]
        if contrast.target is not None:
            slope[block] -= self.pull * share * contrast.target[block]


def focal_steepness(
    log_p: Float[Tensor, "b w"],
    p: Float[Tensor, "b w"],
    gamma: float,
    there: Float[Tensor, "b w"],
    out: Float[Tensor, "b w"],
) -> Float[Tensor, "b w"]:
    """f'(l) into ``out``; returns the weights (1 - p)^gamma, 0 where p >= 1. May overwrite ``there``.

    Args:
        log_p: l, 0 where there is no positive.
        p: e^l.
        gamma: focal exponent.
        there: 1 for a positive, else 0: so are f' and the weight.
        out: takes f'.
    """
    if gamma == 0:
        out.copy_(there)
        return there
    torch.mul(p, log_p.clamp_max(0.0), out=out).mul_(-gamma)
    rest = (-torch.expm1(log_p) if gamma < 1 else torch.sub(1, p)).clamp_min_(0.0)
    if gamma == 1:
        weight = rest.mul_(there)
        out.add_(weight)
        return weight
    lower = (rest ** (gamma - 1)).masked_fill_(rest <= 1e-30, 0.0)
    weight = rest.mul_(lower).mul_(there)
    out.mul_(lower).add_(weight)
    return weight
