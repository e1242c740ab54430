"""The proximal step of diagonal quadratics: each weight is drawn back towards their centre, in place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from holdfast.curvature.matrix import Diagonal

if TYPE_CHECKING:
    from holdfast.anchor.prior import TaskQuadratic

PIECE = 2**18  # numbers at a time, whose intermediate results fit a cache


class DrawBack:
    """sum_t 1/2 (w - w_t)^T H_t (w - w_t) as one diagonal h and one centre c, cut like the weights.

    h = sum_t H_t and c = sum_t H_t w_t / h, so that the minimum of |w - u|^2 / 2 + a times the quadratics
    is u + r (c - u) with r = a h / (1 + a h), in one pass over each weight however many tasks there were.

    Args:
        quadratics: of the tasks so far, each diagonal.

    Attributes:
        derived: it follows from the quadratics, so that a memory meter does not count it again.
    """

    derived = True

    def __init__(self, quadratics: Sequence[TaskQuadratic]):
        self.quadratics = quadratics
        self.layout = quadratics[-1].layout
        self.pieces: dict[str, tuple[Tensor, Tensor]] = {}

    @torch.no_grad()
    def move(self, weights: Mapping[str, Tensor], strength: float) -> None:
        """Draw weights back, in place.

        Args:
            weights: by name; rows of a head that the quadratics do not cover, and names that they do
                not, stay as they are.
            strength: a, at least 0.
        """
        for name, weight in weights.items():
            if name not in self.layout.shapes:
                continue
            for w, h, c in self._split(name, weight):
                share = h * strength
                w.lerp_(c, share.div_(share + 1))

    def _split(self, name: str, weight: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Some rows at a time of a weight, with their h and c."""
        weight = weight[: self.layout.shapes[name][0]]
        if name not in self.pieces:  # laid out in memory like the weight
            h, c = (self.layout.split(v)[name] for v in self._merged())
            self.pieces[name] = tuple(torch.empty_like(weight).copy_(v) for v in (h, c))  # type: ignore[assignment]
        rows = max(PIECE * len(weight) // max(weight.numel(), 1), 1)
        yield from zip(*(t.split(rows) for t in (weight, *self.pieces[name])), strict=True)

    def _merged(self) -> tuple[Float[Tensor, " p"], Float[Tensor, " p"]]:
        """(P,) h and c over the newest layout."""
        newest = self.quadratics[-1]
        assert isinstance(newest.H, Diagonal)
        if len(self.quadratics) == 1:
            return newest.H.values, newest.centre
        total, force = torch.zeros_like(newest.H.values), torch.zeros_like(newest.H.values)
        for quadratic in self.quadratics:
            assert isinstance(quadratic.H, Diagonal)
            at = self.layout.places(quadratic.layout).to(total.device)
            total.index_add_(0, at, quadratic.H.values)
            force.index_add_(0, at, quadratic.H.values * quadratic.centre)
        return total, torch.where(total > 0, force / total, newest.centre)
