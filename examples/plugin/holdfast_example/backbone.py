"""A backbone: features of patches, mixed into one row an image."""

from torch import Tensor, nn


class Patches(nn.Module):
    """A linear layer on patches of 2 x 2 pixels, and one that mixes them.

    Args:
        shape: of one input, (C, H, W).
        width: of both layers.
    """

    def __init__(self, shape: tuple[int, ...], width: int = 16):
        super().__init__()
        channels, height, across = shape
        self.patch = nn.Conv2d(channels, width, 2, stride=2)
        self.mix = nn.Linear(width * (height // 2) * (across // 2), width)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, width)."""
        return self.mix(self.patch(x).relu().flatten(1)).relu()
