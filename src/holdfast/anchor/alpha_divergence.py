"""The alpha-divergences: one family from reverse KL (a = 0) over Hellinger (1/2) to forward KL (1)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from holdfast.anchor.divergence import DIVERGENCES, REACH, forward_kl, log_softmax, reverse_kl
from holdfast.core.errors import ConfigError

NEAR = 20.0  # log-ratios up to which the form without cancellation is taken


def alpha(
    past: Float[Tensor, "n k"],
    now: Float[Tensor, "n k"],
    normalise: bool = False,
    a: float = 0.5,
) -> Float[Tensor, " n"]:
    """(sum_k p*_k^a p_k^(1-a) - 1) / (a (a - 1)); reverse KL for a = 0 and forward KL for a = 1.

    a = 1/2 is twice the squared Hellinger distance, a = 2 half of Pearson's chi^2. The larger a, the
    more the learner must cover what the past held likely; the smaller, the more it must avoid the rest.
    Inside [0, 1] it is computed in logs and needs no bound; outside, log-ratios are held within +-40,
    and beyond a = 2 and -1 that would not keep them finite. A past padded by zeros asks for a > 0.

    Args:
        past: (N, K) logits or log-probabilities; -inf is a class the past gives nothing.
        now: (N, K) of the learner.
        normalise: divides by f''(1) = 1, which changes nothing.
        a: of the family, in [-1, 2].

    Raises:
        ConfigError: for another a.

    Source: Amari; the list of Xu et al., 2025, [V] for its text, the constants are derived

    >>> alpha(torch.tensor([[0.0, 0.0]]), torch.tensor([[0.75, 0.25]]).log(), a=2.0)
    tensor([0.1667])
    """
    if not -1 <= a <= 2:
        raise ConfigError(f"a of the alpha-divergence must lie in [-1, 2], not {a}.")
    if a in (0, 1):
        return forward_kl(past, now) if a else reverse_kl(past, now)
    p, q = log_softmax(past), log_softmax(now)
    t = p - q
    if not 0 < a < 1:
        t = torch.where(t == -torch.inf, t, t.clamp(-REACH, REACH))
        p = t + q
    near = t.clamp(-NEAR, NEAR)
    terms = torch.where(t.abs() <= NEAR, q.exp() * _generator(near, a), _far(p, q, t, a))
    return terms.sum(1)


def _generator(t: Tensor, a: float) -> Tensor:
    """(u^a - a u - (1 - a)) / (a (a - 1)) of t = log u; near a = 0, 1 and t = 0 nothing cancels."""
    if a < 0.5:
        return (torch.expm1(a * t) / a - torch.expm1(t)) / (a - 1)
    return (t.exp() * torch.expm1((a - 1) * t) / (a - 1) - torch.expm1(t)) / a


def _far(p: Tensor, q: Tensor, t: Tensor, a: float) -> Tensor:
    """The same times p_k, of logs that are far apart."""
    return (torch.exp(a * t + q) - a * p.exp() - (1 - a) * q.exp()) / (a * (a - 1))


DIVERGENCES.add("alpha", alpha)
