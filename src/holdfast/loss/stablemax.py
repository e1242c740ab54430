"""StableMax: a softmax whose numbers cannot overflow or vanish."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from holdfast.core.rows import row_weights
from holdfast.core.step import Part, Step
from holdfast.loss.classify import CrossEntropy, competing, weighted_mean


def log_stablemax(x: Float[Tensor, "n k"]) -> Float[Tensor, "n k"]:
    """Log p with p = s / sum s, s(x) = x + 1 for x >= 0, 1 / (1 - x) for x < 0; in double precision
    where the device has it.

    The order of the logits is kept, and the gradient falls as 1 / x where softmax's falls as exp(-x).

    Args:
        x: (N, K) logits.

    >>> log_stablemax(torch.tensor([[1.0, 0.0, -1.0]])).exp().mul(7).round(decimals=6).tolist()
    [[4.0, 2.0, 1.0]]
    """
    x = x.to(torch.float32 if x.device.type == "mps" else torch.float64)
    log_s = torch.where(x >= 0, x.clamp_min(0).log1p(), -(-x.clamp_max(0)).log1p())
    return log_s - log_s.logsumexp(1, keepdim=True)


class StableMax(CrossEntropy):
    """Cross-entropy with `log_stablemax` for the logarithm of the softmax.

    It keeps a slope where a softmax is certain to the last bit. Where embeddings have length 1 no logit
    grows, and there is nothing to cure.

    Args:
        classes: which logits compete, as for `CrossEntropy`.
        on: the part it is asked of.

    Raises:
        ConfigError: for another set of classes.

    Source: Prieto et al., *Grokking at the edge of numerical stability*, ICLR 2025; formula read in the
        authors' code, LucasPrietoAl/grokking-at-the-edge-of-numerical-stability, utils.py
    """

    label = "stablemax"

    def value(self, part: Part, step: Step) -> Tensor:
        """Mean over the rows whose class competes, each as often as it weighs; 0 if there is none."""
        logits, y = competing(part.out.logits, part.rows.y, self.classes, step)
        chosen = log_stablemax(logits).gather(1, y.clamp_min(0)[:, None])[:, 0]
        weight = row_weights(part.rows)
        counted = (y >= 0) if weight is None else weight * (y >= 0)
        return weighted_mean(-chosen, counted).to(logits)
