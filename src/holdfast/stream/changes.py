"""Inputs that are all changed alike: turned, or with their pixels in another order."""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.nn import functional as F

from holdfast.stream.arrays import shuffled


def rotated(
    images: UInt8[Tensor, "n c h w"], degrees: float, chunk: int = 4096
) -> UInt8[Tensor, "n c h w"]:
    """Images turned counter-clockwise about their centre, bilinear, black where nothing was.

    >>> image = torch.tensor([[[[1, 2], [3, 4]]]], dtype=torch.uint8)
    >>> rotated(image, 90)[0, 0].tolist()
    [[2, 4], [1, 3]]
    """
    if degrees == 0:
        return images.clone()
    h, w = images.shape[2:]
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    theta = torch.tensor([[cos, -sin * h / w, 0.0], [sin * w / h, cos, 0.0]])
    turned = []
    for piece in images.split(chunk):
        grid = F.affine_grid(theta.expand(len(piece), 2, 3), list(piece.shape), align_corners=False)
        turned.append(F.grid_sample(piece.float(), grid, align_corners=False).round().byte())
    return torch.cat(turned)


def in_order(x: Tensor, order: Tensor) -> Tensor:
    """Pixels (of every channel alike) or features in another order."""
    return x.flatten(2)[..., order].view_as(x) if x.ndim == 4 else x[:, order]


def pixel_order(x: Tensor, task: int, seed: int) -> Tensor:
    """The order of pixels or features of a task; the first keeps them as they are."""
    count = x[0, 0].numel() if x.ndim == 4 else x.shape[1]
    drawn = shuffled(seed, task).permutation(count) if task else np.arange(count)
    return torch.from_numpy(drawn)
