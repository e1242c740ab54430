"""PerpGrad: no step along a weight, which would only make the logits larger."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from holdfast.anchor.prior import weights_in
from holdfast.anchor.rule import Named, Rule
from holdfast.core.step import Step

LEAST = 1e-6  # of a gradient's length: less across the weight is rounding


def across(w: Float[Tensor, ...], g: Float[Tensor, ...]) -> Float[Tensor, ...]:
    """G - <w, g> / (<w, w> + 1e-30) w, as long as g; g itself where nothing but rounding is left.

    Args:
        w: a weight.
        g: its gradient.

    >>> across(torch.tensor([2.0, 0.0]), torch.tensor([3.0, 4.0])).tolist()
    [0.0, 5.0]
    """
    left = g - (w * g).sum() / ((w * w).sum() + 1e-30) * w
    length, before = left.norm(), g.norm()
    scaled = left * (before / length.clamp_min(torch.finfo(g.dtype).tiny))
    return torch.where(length >= LEAST * before, scaled, g)


class PerpGrad(Rule):
    """Each matrix gets its gradient without the part along itself, rescaled to its length.

    g <- (g - <w, g> / <w, w> w) ||g|| / ||.||, a tensor at a time, for those of two axes and more (the
    published code does all). Under SGD a weight's length then grows as the square of the step alone.
    A convolution before batch norm has <w, g> = 0 anyway. Records ``along``, the mean share of the
    squared gradient that was taken away.

    A cure for networks trained until their logits overflow; nothing here speaks of forgetting.

    Source: Prieto et al., *Grokking at the edge of numerical stability*, ICLR 2025; formula read in the
        authors' code, LucasPrietoAl/grokking-at-the-edge-of-numerical-stability, orthograd.py
    """

    def gradient(self, gradient: Named, step: Step) -> Named:
        """The gradient across each weight."""
        weights, shares, edited = weights_in(step), [], dict(gradient)
        for name, g in gradient.items():
            if g.ndim < 2:
                continue
            w = weights[name].detach()
            edited[name] = across(w, g)
            part = (w * g).sum().square() / ((w * w).sum() + 1e-30)
            shares.append(part / g.square().sum().clamp_min(1e-30))
        if shares:
            step.record("along", torch.stack(shares).mean())
        return edited
