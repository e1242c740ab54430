"""NestedDropout: the first features must do alone, so that they come in the order of their use."""

from __future__ import annotations

from typing import get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor

from holdfast.core.errors import ConfigError
from holdfast.core.numerics import in_float64
from holdfast.core.rows import row_weights
from holdfast.core.step import Part, Step
from holdfast.loss.checks import require_labels, require_option
from holdfast.loss.classify import Competing, cross_entropy_among
from holdfast.loss.term import Term


def width_odds(
    features: int, scale: float, device: torch.device | None = None
) -> Float[Tensor, " f"]:
    """(f,) odds exp(-(k / (scale f))^2) of the widths k = 1..f, the largest of them near 1.

    Args:
        features: f.
        scale: in units of f; infinite makes every width as likely.
        device: where they are made.

    Raises:
        ConfigError: unless the scale is positive.

    >>> width_odds(4, 0.5)
    tensor([0.7788, 0.3679, 0.1054, 0.0183])
    """
    if not scale > 0:
        raise ConfigError(f"the scale of nested widths must be positive, not {scale}.")
    k = torch.arange(1, features + 1, device=device, dtype=torch.float32)
    return torch.exp(-((k / (scale * features)) ** 2))


class NestedDropout(Term):
    """Cross-entropy of head(h * [j <= k]), k drawn once a batch with odds exp(-(k / (scale f))^2).

    In place of `CrossEntropy`, which it is where k = f. Features then come in the order of their use. That
    the tail is free for later tasks is a hope: nothing keeps one of them from moving the first
    features. It harms readouts that use all features (FeCAM). The source's head has no bias; ours has.

    Args:
        scale: of k, as a share of the features; the source has 100 of 512. The mean of k is near
            scale f / sqrt(pi) while that is small.
        classes: which logits compete, as for `CrossEntropy`.
        on: the part it is asked of.

    Raises:
        ConfigError: for a scale that is not positive, or another set of classes.

    Source: Rippel et al., *Learning ordered representations with nested dropout*, ICML 2014; Chen et al.,
        *Boosting co-teaching with compression regularization*, 2021, read in the authors' code
    """

    label = "nested"
    reads = ("features", "logits")
    weighs = True

    def __init__(self, scale: float = 0.2, classes: Competing = "seen", on: str = "batch"):
        super().__init__()
        require_option("set of classes", classes, get_args(Competing))
        width_odds(1, scale)
        self.classes: Competing = classes
        self.scale, self.on = scale, on
        self.whole_head, self.needs_rivals = classes == "all", classes == "new"

    def value(self, part: Part, step: Step) -> Tensor:
        """Mean over the rows whose class competes; 0 if there is none."""
        head = step.learner.head if step.learner is not None else None
        if head is None:
            raise ConfigError(
                "nested dropout asks the learner's head, and this step has no learner."
            )
        h = part.out.features
        k = step.once(self, lambda: self.width(h))
        first = torch.arange(h.shape[1], device=h.device) < k
        logits = head(h.to(head.weight) * first)
        return cross_entropy_among(logits, part.rows.y, self.classes, step, row_weights(part.rows))

    def width(self, h: Tensor) -> Tensor:
        """(1,) how many features remain, from 1 to f."""
        below = width_odds(h.shape[1], self.scale, h.device).cumsum(0)
        lot = torch.rand(1, device=h.device) * below[-1]
        return torch.searchsorted(below, lot).clamp_max(h.shape[1] - 1) + 1


def accuracy_by_width(
    h: Float[Tensor, "n f"],
    y: Int[Tensor, " n"],
    weight: Float[Tensor, "k f"],
    bias: Float[Tensor, " k"],
) -> Float[Tensor, " f"]:
    """(f,) accuracy of a head that is given the first 1, 2, ..., f features.

    Args:
        h: (N, f) features of rows that were held out.
        y: (N,) their classes.
        weight: (K, f) of the head.
        bias: (K,) of the head.

    Raises:
        DataError: for labels of another number than rows.

    >>> h, weight = torch.tensor([[1.0, 9.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    >>> accuracy_by_width(h, torch.tensor([0]), weight, torch.zeros(2))
    tensor([1., 0.], dtype=torch.float64)
    """
    require_labels(h, y)
    h, weight = in_float64(h), in_float64(weight)
    logits, right = in_float64(bias).expand(len(h), -1), []
    for k in range(h.shape[1]):
        logits = logits + h[:, k, None] * weight[:, k]
        right.append((logits.argmax(1) == y.to(logits.device)).double().mean())
    return torch.stack(right)


def best_width(accuracy: Float[Tensor, " f"], price: float = 1e-5) -> int:
    """The width k with the highest accuracy less ``price`` k; the narrowest of equal ones.

    Args:
        accuracy: (f,) with the first 1, 2, ..., f features, as of `accuracy_by_width`.
        price: of a feature.

    >>> best_width(torch.tensor([0.5, 0.9, 0.9, 0.90001]))
    2
    """
    width = torch.arange(1, len(accuracy) + 1, device=accuracy.device)
    return int((accuracy - price * width).argmax()) + 1
