"""A backbone with dropout, named as ``noisy:Dropping``."""

from torch import nn


class Dropping(nn.Sequential):
    """A linear layer and dropout."""

    def __init__(self, shape, width=16):
        features = 1
        for size in shape:
            features *= size
        super().__init__(nn.Flatten(), nn.Linear(features, width), nn.ReLU(), nn.Dropout(0.3))
