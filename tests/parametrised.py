"""A network with parametrised weights: a convolution under weight norm, and a layer under its own."""

import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize

from holdfast.learner.backbone import BACKBONES, register


class Doubled(nn.Module):
    """Twice what is stored."""

    def forward(self, weight):
        return 2 * weight


class Parametrised(nn.Module):
    """Images (N, 1, 8, 8) to 6 features."""

    def __init__(self):
        super().__init__()
        self.first = parametrizations.weight_norm(nn.Conv2d(1, 4, 3, 2, bias=False))
        self.last = nn.Linear(36, 6)
        parametrize.register_parametrization(self.last, "weight", Doubled())

    def forward(self, x):
        return torch.tanh(self.last(self.first(x).tanh().flatten(1)))


if "parametrised" not in BACKBONES:

    @register("parametrised")
    def parametrised(shape):
        """A network with parametrised weights."""
        return Parametrised()
