"""Heads: features to logits, a row a class, which stays when rows of new classes are added."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from holdfast.core.errors import unknown

HeadName = Literal["linear", "cosine", "grassmann"]
SCALE = 16.0  # of the cosines, at the start
GAMMA, DIRECTIONS = 25.0, 4  # of Grassmann classes


class GrowingHead(nn.Module):
    """A linear classifier whose rows of old classes stay when new ones are added.

    Args:
        features: f.
        classes: K at the start.

    Attributes:
        weight: (K, f), or what a kind of head keeps of a class.
        bias: (K,); one that a kind of head does not read gets no gradient.
    """

    def __init__(self, features: int, classes: int = 0):
        super().__init__()
        self.features = features
        self.weight = nn.Parameter(torch.empty(0, self.width))
        self.bias = nn.Parameter(torch.empty(0))
        self.grow(classes)

    @property
    def width(self) -> int:
        """Numbers of a row of `weight`."""
        return self.features

    def fresh(self, classes: int) -> tuple[Tensor, Tensor]:
        """Rows and biases for new classes, at random."""
        layer = nn.Linear(self.features, classes).to(self.weight.device)
        return layer.weight.data, layer.bias.data

    def grow(self, classes: int) -> None:
        """Make room for ``classes`` in all; never fewer than now."""
        missing = classes - len(self.bias)
        if missing > 0:
            weight, bias = self.fresh(missing)
            self.weight = nn.Parameter(torch.cat([self.weight.data, weight]))
            self.bias = nn.Parameter(torch.cat([self.bias.data, bias]))

    def forward(self, features: Float[Tensor, "n f"]) -> Float[Tensor, "n k"]:
        """Features to logits."""
        return functional.linear(features, self.weight, self.bias)


class CosineHead(GrowingHead):
    """Logits scale cos(x, w_k): a class's row cannot win by its length, nor by a bias.

    So rows of new classes are not larger than those of old ones, which a linear head learns from
    new data alone. The scale is one trained number, from 16 at the start; biases are 0 and not read.

    Args:
        features: f.
        classes: K at the start.

    Source: Hou et al., *Learning a unified classifier incrementally via rebalancing* (LUCIR), CVPR 2019
        (form from memory, not verified against the source)
    """

    def __init__(self, features: int, classes: int = 0):
        super().__init__(features, classes)
        self.scale = nn.Parameter(torch.tensor(SCALE))

    def fresh(self, classes: int) -> tuple[Tensor, Tensor]:
        """Random rows, and zeros."""
        weight, bias = super().fresh(classes)
        return weight, torch.zeros_like(bias)

    def forward(self, features: Float[Tensor, "n f"]) -> Float[Tensor, "n k"]:
        """Features to logits."""
        units = functional.normalize(self.weight, dim=1)
        return self.scale * functional.normalize(features, dim=1) @ units.T


class GrassmannHead(GrowingHead):
    """Logits gamma ||B_k x|| / ||x||, B_k with 4 orthonormal rows: a class is a plane, not a direction.

    A row of `weight` is B_k, row after row. `GrassmannStep` keeps it orthonormal while it is trained; a
    rotation of B_k within its plane changes no logit. Biases are 0 and not read; gamma is 25.

    Args:
        features: f.
        classes: K at the start.

    Source: *Grassmann class representation* (GCR), by its public code, which has 8 rows a class
    """

    gamma: Tensor

    def __init__(self, features: int, classes: int = 0):
        super().__init__(features, classes)
        self.register_buffer("gamma", torch.tensor(GAMMA))

    @property
    def width(self) -> int:
        """Numbers of B_k."""
        return self.directions * self.features

    @property
    def directions(self) -> int:
        """Rows of B_k."""
        return min(DIRECTIONS, self.features)

    def fresh(self, classes: int) -> tuple[Tensor, Tensor]:
        """Random planes, and zeros."""
        noise = torch.randn(classes, self.features, self.directions)
        frames = torch.linalg.qr(noise)[0].mT.reshape(classes, self.width)
        return frames.to(self.weight), torch.zeros(classes).to(self.weight)

    def plane(self, rows: Float[Tensor, "n f"], usual: Float[Tensor, " w"]) -> Float[Tensor, " w"]:
        """A row of `weight` whose plane holds the leading directions of some rows.

        Args:
            rows: features.
            usual: a row of which the rest is filled, where there are fewer rows than directions.
        """
        leading = torch.linalg.svd(rows, full_matrices=False)[2][: self.directions]
        columns = torch.cat([leading, usual.view(self.directions, self.features)]).mT
        return torch.linalg.qr(columns)[0][:, : self.directions].mT.flatten()

    def forward(self, features: Float[Tensor, "n f"]) -> Float[Tensor, "n k"]:
        """Features to logits."""
        unit = functional.normalize(features, dim=1)
        along = (unit @ self.weight.reshape(-1, self.features).T).unflatten(
            1, (-1, self.directions)
        )
        return self.gamma * (along.square().sum(2) + 1e-12).sqrt()


HEADS: dict[HeadName, type[GrowingHead]] = {
    "linear": GrowingHead, "cosine": CosineHead, "grassmann": GrassmannHead
}  # fmt: skip


def head_kind(state: Mapping[str, object]) -> HeadName:
    """Which head a learner's state is of, by the names in it."""
    if "head.scale" in state:
        return "cosine"
    return "grassmann" if "head.gamma" in state else "linear"


def make_head(name: str, features: int, classes: int = 0) -> GrowingHead:
    """A head by name.

    Args:
        name: ``linear``, ``cosine`` or ``grassmann``.
        features: f.
        classes: K at the start.

    Raises:
        ConfigError: for another name.
    """
    if name not in HEADS:
        raise unknown("head", name, get_args(HeadName))
    return HEADS[name](features, classes)
