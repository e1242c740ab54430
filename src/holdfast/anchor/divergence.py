"""Divergences between what the past network and the learner say of an input (docs/theory.md, section 7).

Every function takes (N, K) logits or log-probabilities (a log-softmax leaves the latter as they
are), the past's first, and returns (N,) values >= 0 that vanish iff both rows are the same
distribution. Near equality each is ``f''(1)/2 d^T F d`` for a move d of the logits and their Fisher
matrix F = diag(p) - p p^T; ``normalise`` divides by f''(1), so that one weight means one strength.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from holdfast.core.constants import constant
from holdfast.core.errors import ConfigError
from holdfast.core.grammar import arguments
from holdfast.core.registry import Registry

REACH = (
    40.0  # log-ratios of a general f-divergence are held within +-REACH: exp(2 REACH) is a float32
)


# of the past's logits, the learner's, and whether to normalise
Divergence = Callable[[Tensor, Tensor, bool], Tensor]
DIVERGENCES: Registry[Divergence] = Registry("divergence")


def forward_kl(
    past: Float[Tensor, "n k"], now: Float[Tensor, "n k"], normalise: bool = False
) -> Float[Tensor, " n"]:
    """KL(p* || p) = sum_k p*_k log(p*_k / p_k): the learner must cover what the past held likely.

    Args:
        past: (N, K) logits or log-probabilities; -inf is a class the past gives nothing.
        now: (N, K) of the learner.
        normalise: divides by f''(1) = 1, which changes nothing.

    >>> forward_kl(torch.tensor([[0.0, 0.0]]), torch.tensor([[0.75, 0.25]]).log())  # 1/2 log 4/3
    tensor([0.1438])
    """
    p, q = log_softmax(past), log_softmax(now)
    return _mean(p, p - q)


def reverse_kl(
    past: Float[Tensor, "n k"], now: Float[Tensor, "n k"], normalise: bool = False
) -> Float[Tensor, " n"]:
    """KL(p || p*) = sum_k p_k log(p_k / p*_k): the learner must avoid what the past held unlikely.

    Args:
        past: (N, K) logits or log-probabilities.
        now: (N, K) of the learner.
        normalise: divides by f''(1) = 1, which changes nothing.
    """
    return forward_kl(now, past)


def jensen_shannon(
    past: Float[Tensor, "n k"], now: Float[Tensor, "n k"], normalise: bool = False
) -> Float[Tensor, " n"]:
    """1/2 KL(p* || m) + 1/2 KL(p || m) with m = (p* + p)/2: symmetric, at most log 2.

    Args:
        past: (N, K) logits or log-probabilities.
        now: (N, K) of the learner.
        normalise: divides by f''(1) = 1/4.

    Source: Lin, *Divergence measures based on the Shannon entropy*, 1991
    """
    p, q = log_softmax(past), log_softmax(now)
    middle = torch.logaddexp(p, q) - constant(2.0, p).log()
    value = 0.5 * _mean(p, p - middle) + 0.5 * _mean(q, q - middle)
    return value / 0.25 if normalise else value


def jeffreys(
    past: Float[Tensor, "n k"], now: Float[Tensor, "n k"], normalise: bool = False
) -> Float[Tensor, " n"]:
    """KL(p* || p) + KL(p || p*) = sum_k (p*_k - p_k) log(p*_k / p_k): both directions at once.

    Args:
        past: (N, K) logits or log-probabilities.
        now: (N, K) of the learner.
        normalise: divides by f''(1) = 2.

    Source: Jeffreys, 1946
    """
    value = forward_kl(past, now) + reverse_kl(past, now)
    return value / 2 if normalise else value


def balanced_kl(
    past: Float[Tensor, "n k"],
    now: Float[Tensor, "n k"],
    normalise: bool = False,
    share: float = 0.75,
) -> Float[Tensor, " n"]:
    """Both directions, s KL(p* || p) + (1 - s) KL(p || p*), s by which side is more certain of a row.

    s = ``share`` where the past is more certain (its entropy is lower), 1 - ``share`` where the
    learner is, 1/2 where both are alike; no gradient flows through the choice.

    Args:
        past: (N, K) logits or log-probabilities.
        now: (N, K) of the learner.
        normalise: divides by f''(1) = 1, which changes nothing.
        share: of the direction that the more certain side leads, in [1/2, 1].

    Raises:
        ConfigError: for a share outside [1/2, 1].

    Source: after Amara et al., *BD-KD: balancing the divergences for online knowledge
        distillation*, 2022; the share and its tie are choices of this library
    """
    if not 0.5 <= share <= 1:
        raise ConfigError(f"the share of balanced_kl must lie in [0.5, 1], not {share}.")
    with torch.no_grad():
        p, q = log_softmax(past), log_softmax(now)
        lead = torch.sign(_mean(p, p) - _mean(q, q))  # 1 where the past's entropy is lower
        s = 0.5 + (share - 0.5) * lead
    return s * forward_kl(past, now) + (1 - s) * reverse_kl(past, now)


class FDivergence:
    """sum_k p_k f(p*_k / p_k) for a convex f, made elementwise: f(1) = 0 is not asked for.

    f is replaced by ``f(u) - f(1) - f'(1) (u - 1)``, which gives the same divergence in terms that
    are each >= 0. Log-ratios are held within +-40, so that every f of at most quadratic growth
    stays finite in float32; the KL divergences above need no such bound.

    Args:
        generator: f, elementwise on positive tensors; u log u gives `forward_kl`, -log u `reverse_kl`.
        curvature: f''(1); None finds it by automatic differentiation.

    Raises:
        ConfigError: when asked to normalise by an f''(1) that is not positive.

    It can be pickled and copied wherever its generator can: a function of a module, not a lambda.

    Source: Csiszar, 1967; the constant f''(1)/2 is docs/theory.md's, section 7
    """

    def __init__(self, generator: Callable[[Tensor], Tensor], curvature: float | None = None):
        self.generator = generator
        self.at_one, self.slope, self.curvature = _at_one(generator, curvature)

    def __call__(
        self, past: Float[Tensor, "n k"], now: Float[Tensor, "n k"], normalise: bool = False
    ) -> Float[Tensor, " n"]:
        """(N,) values; the arguments are those of every divergence."""
        if normalise and not self.curvature > 0:
            raise ConfigError(
                f"a divergence with f''(1) = {self.curvature:g} cannot be normalised: give its "
                "curvature, or use normalise=False."
            )
        p, q = log_softmax(past), log_softmax(now)
        u = torch.exp((p - q).clamp(-REACH, REACH))
        total = (q.exp() * (self.generator(u) - self.at_one - self.slope * (u - 1))).sum(1)
        return total / self.curvature if normalise else total


f_divergence = FDivergence  # the name under which it is called


def _squared_roots(u: Tensor) -> Tensor:
    """(1 - sqrt u)^2, the generator of the squared Hellinger distance."""
    return (1 - u.sqrt()) ** 2


def _at_one(f: Callable[[Tensor], Tensor], curvature: float | None) -> tuple[float, float, float]:
    """f, f' and f'' at 1, in float64."""
    with torch.enable_grad():
        u = torch.ones((), dtype=torch.float64, requires_grad=True)
        value = f(u)
        (slope,) = torch.autograd.grad(value, u, create_graph=True)
        if curvature is None and slope.requires_grad:
            (bend,) = torch.autograd.grad(slope, u)
            curvature = float(bend)
    return float(value.detach()), float(slope.detach()), curvature or 0.0


def log_softmax(x: Tensor) -> Tensor:
    """Log-probabilities of logits, in at least float32."""
    return torch.log_softmax(x.to(torch.promote_types(x.dtype, torch.float32)), 1)


def _mean(log_p: Tensor, values: Tensor) -> Tensor:
    """sum_k p_k values_k, where a class of probability 0 counts 0 whatever its value."""
    p = log_p.exp()
    return (p * values.masked_fill(p == 0, 0.0)).sum(1)


for _divergence in (forward_kl, reverse_kl, jensen_shannon, balanced_kl, jeffreys):
    DIVERGENCES.add(_divergence.__name__, _divergence)
DIVERGENCES.add("hellinger", FDivergence(_squared_roots, curvature=0.5))


def make_divergence(text: str) -> Divergence:
    """A divergence by name, perhaps with settings: ``forward_kl``, ``balanced_kl:share=0.6``.

    Raises:
        ConfigError: for an unknown one, with the nearest name, or a setting that it lacks.
    """
    entry, rest = DIVERGENCES.find(text)
    if not rest:
        return entry.value
    where = f"divergence {entry.name}"
    settings = arguments(entry.value, rest, where, skip=("past", "now", "normalise"))
    return partial(entry.value, **settings)
