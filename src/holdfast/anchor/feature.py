"""Feature anchors: the backbone must say of an input what the past one said."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from holdfast.errors import unknown
from holdfast.loss.term import Term
from holdfast.step import Part, Step

Distance = Literal["square", "cosine"]


def feature_distillation(
    now: Float[Tensor, "n f"], past: Float[Tensor, "n f"], distance: Distance = "square"
) -> Float[Tensor, ""]:
    """mean_i ||h_i - h*_i||^2 / mean_i ||h*_i - mean h*||^2, or mean_i (1 - cos(h_i, h*_i)).

    The square is relative to the past features' own spread, so that a weight means one strength
    whatever their scale and width.

    Args:
        now: (N, f) features of the learner.
        past: (N, f) those of the past network; no gradient flows into them.
        distance: ``square`` or ``cosine``.

    Raises:
        ConfigError: for an unknown distance.

    Source: Jung et al., *Less-forgetting learning*, 2016; Hou et al. (LUCIR), CVPR 2019, for the cosine

    >>> h = torch.tensor([[0.0, 2.0], [0.0, 4.0]])  # the spread is 1
    >>> feature_distillation(h + torch.tensor([2.0, 0.0]), h)
    tensor(4.)
    """
    if distance not in ("square", "cosine"):
        raise unknown("distance", distance, ("square", "cosine"))
    wide = torch.promote_types(now.dtype, torch.float32)
    now, past = now.to(wide), past.detach().to(wide)
    if distance == "cosine":
        return (1 - functional.cosine_similarity(now, past, dim=1)).mean()
    spread = ((past - past.mean(0)) ** 2).sum(1).mean()
    return ((now - past) ** 2).sum(1).mean() / spread.clamp_min(1e-12)


class FeatureDistillation(Term):
    """`feature_distillation` of the current inputs' features, or embeddings.

    Args:
        distance: ``square`` or ``cosine``.
        of: ``features`` or ``embedding``.
        on: the part it is asked of.

    Raises:
        ConfigError: for an unknown distance or space.
    """

    needs_past = True
    label = "features"

    def __init__(
        self,
        distance: Distance = "square",
        of: Literal["features", "embedding"] = "features",
        on: str = "batch",
    ):
        super().__init__()
        feature_distillation(torch.zeros(1, 1), torch.zeros(1, 1), distance)
        if of not in ("features", "embedding"):
            raise unknown("feature space", of, ("features", "embedding"))
        self.distance: Distance = distance
        self.of, self.on = of, on

    def value(self, part: Part, step: Step) -> Tensor:
        """The mean over the part's rows."""
        return feature_distillation(
            getattr(part.out, self.of), getattr(part.past, self.of), self.distance
        )
