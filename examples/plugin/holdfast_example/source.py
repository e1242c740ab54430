"""A source: small grey images with one bright spot, whose place is the class."""

import torch

from holdfast.stream import Source, from_arrays


def spots(seed: int = 0, classes: int = 6, each: int = 30) -> Source:
    """Grey images of 8 x 8 pixels, a spot on a circle for a class, with noise.

    Args:
        seed: of the noise.
        classes: places on the circle.
        each: train images of a class; a third of that to test.
    """
    turn = 2 * torch.pi * torch.arange(classes) / classes
    centre = 3.5 + 2.5 * torch.stack([turn.sin(), turn.cos()], 1)
    row, column = torch.meshgrid(torch.arange(8.0), torch.arange(8.0), indexing="ij")
    away = (row - centre[:, 0, None, None]) ** 2 + (column - centre[:, 1, None, None]) ** 2
    generator = torch.Generator().manual_seed(seed)

    def images(count: int) -> tuple[torch.Tensor, torch.Tensor]:
        y = torch.arange(classes).repeat_interleave(count)
        noise = 0.1 * torch.randn(len(y), 8, 8, generator=generator)
        x = ((-away[y] / 3).exp() + noise).clamp(0, 1)
        return (x * 255).to(torch.uint8)[:, None], y

    return from_arrays(*images(each), *images(each // 3), name="spots")
