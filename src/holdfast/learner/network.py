"""What every backbone is."""

from torch import nn


class Backbone(nn.Module):
    """Any network that maps (N, ...) to (N, features).

    Attributes:
        features: f, the width of what it gives.
        normalises: whether it takes inputs as they are, in [0, 1], and normalises them itself.
        tuned: the modules that are trained; None is all of it.
        sha256: of the weights it was loaded with; none if it starts at random.
    """

    features: int
    normalises: bool = False
    tuned: tuple[nn.Module, ...] | None = None
    sha256: str = ""
