"""Whether the unknown is told from the known: figures of a score that is larger for the unknown."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor


def auroc(known: Float[Tensor, " n"], unknown: Float[Tensor, " m"]) -> float:
    """P(u_unknown > u_known) + P(u_unknown = u_known) / 2 over all pairs of inputs.

    1/2 for a score that tells nothing; only the order of the scores matters.

    Args:
        known: (N,) scores of inputs of known classes.
        unknown: (M,) scores of others; NaN if there is none on a side.

    >>> auroc(torch.tensor([0.0, 1.0]), torch.tensor([1.0, 2.0]))
    0.875
    """
    if not len(known) or not len(unknown):
        return math.nan
    ranked = known.double().sort().values
    other = unknown.double()
    below = torch.searchsorted(ranked, other, right=False)
    upto = torch.searchsorted(ranked, other, right=True)
    return float((below + upto).double().mean() / 2 / len(known))


def fpr_at_known95(
    known: Float[Tensor, " n"], unknown: Float[Tensor, " m"], share: float = 0.95
) -> float:
    """Share of unknown inputs that are accepted where 95 % of the known ones are.

    Accepted is u <= t, with t the smallest score that accepts the share of the known inputs. The
    other convention, which catches 95 % of the unknown, is `fpr_at_unknown95`.

    Args:
        known: (N,) scores of inputs of known classes, larger for the unknown.
        unknown: (M,) scores of others; NaN if there is none on a side.
        share: of the known inputs that are accepted.
    """
    if not len(known) or not len(unknown):
        return math.nan
    return float((unknown <= _least(known, share)).double().mean())


def fpr_at_unknown95(
    known: Float[Tensor, " n"], unknown: Float[Tensor, " m"], share: float = 0.95
) -> float:
    """Share of known inputs that are rejected where 95 % of the unknown ones are caught.

    Caught is u >= t, with t the largest score that catches the share of the unknown inputs.

    Args:
        known: (N,) scores of inputs of known classes, larger for the unknown.
        unknown: (M,) scores of others; NaN if there is none on a side.
        share: of the unknown inputs that are caught.
    """
    return fpr_at_known95(-unknown, -known, share)


def _least(values: Tensor, share: float) -> Tensor:
    """The smallest of some values that at least a share of them do not exceed."""
    rank = math.ceil(round(share * len(values), 9))
    return values.sort().values[max(rank, 1) - 1]
