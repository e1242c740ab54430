"""Squared gradients of a layer from pairs of its positions, where output factors outnumber them.

A layer used at T positions of a sample, as a convolution, has the gradient sum_t g_rot a_it for an output
factor r. The squares of all R factors are

    sum_r (sum_t g_rot a_it)^2 = sum_{t, u} (sum_r g_rot g_rou) a_it a_iu,

where pairs of t and u count alike both ways: T (T + 1) / 2 products for each weight in place of R T.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from holdfast.curvature.layers import Squares


def by_pairs(module: nn.Module, out: Float[Tensor, ...], factors: int) -> bool:
    """Whether pairs of positions are fewer products: R > (T + 1) / 2.

    Args:
        module: a layer that is known; batch norm, and a linear one at one position, never gain.
        out: what it put out, or the gradients of that for one output factor: (N, o, h, w) of a
            convolution, (N, ..., o) of a linear layer.
        factors: R of an image.
    """
    if isinstance(module, nn.Conv2d):
        positions = out.shape[2:].numel()
    elif isinstance(module, nn.BatchNorm2d) or out.ndim < 3:
        return False
    else:
        positions = out.shape[1:-1].numel()
    return 2 * factors > positions + 1


class PairSums:
    """Sums over the output factors of some images, chunk by chunk, and the squares that they make.

    Args:
        module: a layer for which `by_pairs` holds.
    """

    def __init__(self, module: nn.Module):
        self.module = module
        self.gram: Tensor | None = None
        self.bias: Tensor | None = None

    def add(self, g: Float[Tensor, "r n ..."]) -> None:
        """Add sum_r g_rot g_rou of some output factors.

        Args:
            g: (R, N, o, h, w) gradients of a convolution's outputs, (R, N, ..., o) of a linear one's.
        """
        flat = g.flatten(3) if isinstance(self.module, nn.Conv2d) else g.flatten(2, -2).mT
        each = flat.permute(1, 2, 3, 0)  # (N, o, T, R)
        gram, bias = each @ each.mT, flat.sum(3).square().sum((0, 1))
        self.gram = gram if self.gram is None else self.gram.add_(gram)
        self.bias = bias if self.bias is None else self.bias.add_(bias)

    def squares(self, a: Float[Tensor, "n ..."]) -> Squares:
        """(o, ...) and (o,) of the layer's weight and bias, summed over images and output factors.

        Args:
            a: the layer's `input_columns` for the same images.
        """
        assert self.gram is not None
        assert self.bias is not None
        columns = a if isinstance(self.module, nn.Conv2d) else a.flatten(1, -2).mT  # (N, i, T)
        t, u = torch.triu_indices(columns.shape[2], columns.shape[2], device=a.device)
        twice = 2.0 - (t == u).to(self.gram.dtype)
        total = self.gram.new_zeros(self.gram.shape[1], columns.shape[1])
        for gram, rows in zip(self.gram, columns, strict=True):
            total.addmm_(gram[:, t, u] * twice, (rows[:, t] * rows[:, u]).T)
        weight = total.view_as(self.module.weight) if isinstance(self.module, nn.Conv2d) else total
        return {"weight": weight, "bias": self.bias}
