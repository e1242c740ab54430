r"""SupCon and FNC2 by tiles, with their slope written by hand (docs/theory.md, section 3).

For an anchor i with the positives P(i), s_ia = z_i.z_a / tau, and contrasts D_i = sum_a exp s_ia over the
other rows, the old prototypes and perhaps its own one:

    L_i  = -1/n_i [ sum_{j in P(i)} f(l_ij) + f(l_i,own) ],   l = s - log D_i,   f(l) = (1 - e^l)^gamma l,
    dL_i/ds_ia = -1/n_i [ [a in P(i)] f'(l_ia) - F_i e^{l_ia} ],   F_i = sum of f'(l) over its positives,
    f'(l) = (1 - e^l)^gamma - gamma e^l (1 - e^l)^{gamma - 1} l.

A first pass of tiles makes the D_i, and a last one the slope of what is contrasted. In between come the
positives: rows are sorted by class, so that most tiles have none. Without a focus they need no tiles, for
the sum of a row's similarities to its class is the one with the class's sum.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from holdfast.loss.square_tiles import LOG_2, Place, Square
from holdfast.loss.tiles import row_blocks, same_class


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

    def ordered(self, order: Int[Tensor, " n"]) -> Contrast:
        """The same of rows in another order."""
        target = None if self.target is None else self.target[order]
        return replace(self, y=self.y[order], anchors=self.anchors[order], target=target)


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
    """The sum and the weights; its slope is made on the way."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, contrast: Contrast) -> tuple[Tensor, Tensor]:
        """Rows sorted by class, and back."""
        order = contrast.y.argsort()
        with torch.autocast(z.device.type, enabled=False):
            work = _Passes(z[order], contrast.ordered(order), ctx.needs_input_grad[0])
            work.positives()
            work.prototype()
            work.negatives()
        ctx.slope = (
            None
            if work.slope is None
            else torch.empty_like(z).index_copy_(0, order, work.slope / contrast.tau)
        )
        weight = torch.empty_like(work.weight).index_copy_(
            0, order, work.weight / work.count.clamp_min(1)
        )
        ctx.mark_non_differentiable(weight)
        return -(work.value * work.share).sum(), weight

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        """The slope times the outer one."""
        return ctx.slope * outer[0], None


class _Passes:
    """Rows in the order of their classes: sums of f, of weights and of f', and tau times the slope."""

    def __init__(self, z: Tensor, contrast: Contrast, sloping: bool):
        self.z, self.contrast = z, contrast
        self.alike = same_class(contrast.y)
        self.count = self.alike.to(z) + (contrast.target is not None)
        self.share = contrast.anchors / self.count.clamp_min(1)
        self.slope = torch.zeros_like(z) if sloping else None
        self.value, self.weight, self.force = (torch.zeros_like(self.share) for _ in range(3))
        self.square = Square(z, contrast.tau)
        self.log_d = self.square.log_sums()
        if contrast.target is not None:
            self.target = (z * contrast.target).sum(1) / contrast.tau
        for block, extra, _ in self.others():
            self.log_d[block] = torch.logaddexp(self.log_d[block], extra.logsumexp(1))

    def others(self) -> Iterator[tuple[slice, Tensor, Tensor]]:
        """Of some rows, similarities to the prototypes that count among the contrasts; old ones first."""
        contrast = self.contrast
        closed = contrast.target is not None and contrast.closed
        repel = self.z[:0] if contrast.repel is None else contrast.repel
        if not closed and not len(repel):
            return
        for block in row_blocks(len(self.z), len(repel) + 1):
            parts = [self.z[block] @ repel.T / contrast.tau]
            if closed:
                parts.append(self.target[block, None])
            yield block, torch.cat(parts, 1), repel

    def positives(self) -> None:
        """Rows of the same class: through its sum, or with a focus by the tiles that have some."""
        if self.contrast.gamma == 0:
            self._class_sums()
            return
        for place in self.square.places():
            if self._shared(place):
                self._focus(place)

    def _class_sums(self) -> None:
        """With f(l) = l, a row's sum over its class is one product."""
        z, count = self.z, self.alike.to(self.z)
        first = torch.searchsorted(self.contrast.y, self.contrast.y)
        sums = lambda rows: torch.zeros_like(z).index_add_(0, first, rows)[first]
        near = sums(z).sub_(z)
        self.value += (z * near).sum(1) / self.contrast.tau - count * self.log_d
        self.weight += count
        self.force += count
        if self.slope is not None:
            share = self.share[:, None]
            self.slope -= near.mul_(share)
            pushed = z * share
            self.slope -= sums(pushed).sub_(pushed)

    @cached_property
    def _ends(self) -> list[tuple[int, int]] | None:
        """The first and last class of each stretch of rows; unknown where asking would wait."""
        y, side = self.contrast.y, self.square.side
        if y.device.type != "cpu":
            return None
        return list(zip(y[::side].tolist(), [*y[side - 1 :: side].tolist(), int(y[-1])]))

    def _shared(self, place: Place) -> bool:
        """Whether a tile may have two rows of one class."""
        if self._ends is None:
            return True
        i, j = (part.start // self.square.side for part in place)
        return self._ends[i][1] >= self._ends[j][0]

    def _focus(self, place: Place) -> None:
        """F, the sums, and the slope of what pulls, of both sides of a tile."""
        s, y = self.square.tile(place), self.contrast.y
        same = (y[place.rows, None] == y[place.cols]).to(s)
        if place.middle:
            same.fill_diagonal_(0.0)
        pull = self.square.room(1, place).zero_()
        steep = self.square.room(2, place)
        for dim, part in ((1, place.rows), (0, place.cols))[: 2 - place.middle]:
            log_p = torch.add(-self.log_d[part].unsqueeze(dim), s, alpha=LOG_2).mul_(same)
            weight = focal_steepness(log_p, log_p.exp(), self.contrast.gamma, same.clone(), steep)
            self.weight[part] += weight.sum(dim)
            self.value[part] += weight.mul_(log_p).sum(dim)
            self.force[part] += steep.sum(dim)
            pull += steep.mul_(self.share[part].unsqueeze(dim))
        if self.slope is not None:
            if place.middle:
                pull = pull + pull.T
            self.square.spread(self.slope, place, pull.neg_())

    def prototype(self) -> None:
        """The pull of the own prototype."""
        if self.contrast.target is None:
            return
        log_r = (self.target - self.log_d)[:, None]
        steep, one = torch.empty_like(log_r), torch.ones_like(log_r)
        weight = focal_steepness(log_r, log_r.exp(), self.contrast.gamma, one, steep)
        self.value += (weight * log_r)[:, 0]
        self.weight += weight[:, 0]
        self.force += steep[:, 0]
        if self.slope is not None:
            self.slope -= steep * self.share[:, None] * self.contrast.target

    def negatives(self) -> None:
        """The slope of the contrasts, F_i share_i e^l, by a last pass."""
        if self.slope is None:
            return
        share, target = self.force * self.share, self.contrast.target
        for place in self.square.places():
            self.square.spread(self.slope, place, self.square.weighed(place, share, self.log_d))
        for block, extra, repel in self.others():
            push = (extra - self.log_d[block, None]).exp_().mul_(share[block, None])
            self.slope[block] += push[:, : len(repel)] @ repel
            if target is not None and self.contrast.closed:
                self.slope[block] += push[:, -1:] * target[block]


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
