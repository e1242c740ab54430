"""Whether the unknown is told from the known: figures of a score that is larger for the unknown."""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float
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


def oscr(
    known: Float[Tensor, " n"], right: Bool[Tensor, " n"], unknown: Float[Tensor, " m"]
) -> float:
    """Area under the share of known inputs that are accepted and right, over that of unknown ones accepted.

    Both as the threshold rises; ties count half, so that it is P(right and u_known < u_unknown) +
    P(right and u_known = u_unknown) / 2: accuracy where the unknown is told perfectly, half of it
    where the score tells nothing.

    Source: Dhamija, Günther, Boult, *Reducing network agnostophobia*, NeurIPS 2018

    Args:
        known: (N,) scores of inputs of known classes, larger for the unknown.
        right: (N,) whether their class was decided rightly.
        unknown: (M,) scores of others; NaN if there is none on a side.

    >>> oscr(torch.tensor([0.0, 1.0]), torch.tensor([True, False]), torch.tensor([1.0, 2.0]))
    0.5
    """
    if not len(known) or not len(unknown):
        return math.nan
    return auroc(known[right], unknown) * float(right.double().mean()) if bool(right.any()) else 0.0


def average_precision(known: Float[Tensor, " n"], unknown: Float[Tensor, " m"]) -> float:
    """Area under precision over recall, the unknown being what is looked for: sum_t (R_t - R_t-1) P_t.

    Thresholds are the scores, from the largest down; equal scores are caught together. A score that
    tells nothing has the prevalence M / (N + M), beside which it is to be read.

    Args:
        known: (N,) scores of inputs of known classes, larger for the unknown.
        unknown: (M,) scores of others; NaN if there is none on a side.

    >>> average_precision(torch.zeros(3), torch.ones(1)), average_precision(torch.ones(3), torch.ones(1))
    (1.0, 0.25)
    """
    if not len(known) or not len(unknown):
        return math.nan
    scores = torch.cat([unknown, known]).double()
    caught = torch.cat([torch.ones(len(unknown)), torch.zeros(len(known))]).double()
    values, place = scores.unique(return_inverse=True)
    hits = torch.zeros(len(values), dtype=torch.float64).index_add_(0, place.cpu(), caught)
    every = torch.bincount(place.cpu(), minlength=len(values)).double()
    hits, every = hits.flip(0), every.flip(0)
    precision = hits.cumsum(0) / every.cumsum(0)
    return float((hits * precision).sum() / len(unknown))


def openset_figures(
    known: Float[Tensor, " n"], right: Bool[Tensor, " n"], unknown: Float[Tensor, " m"]
) -> dict[str, float]:
    """Every figure of a score of the unknown, by name, with the share of unknown inputs; NaN for none.

    Args:
        known: (N,) scores of inputs of known classes, larger for the unknown.
        right: (N,) whether their class was decided rightly.
        unknown: (M,) scores of others.
    """
    rows = len(known) + len(unknown)
    return {
        "auroc": auroc(known, unknown),
        "average_precision": average_precision(known, unknown),
        "unknown_share": len(unknown) / rows if rows else math.nan,
        "fpr_at_known95": fpr_at_known95(known, unknown),
        "fpr_at_unknown95": fpr_at_unknown95(known, unknown),
        "oscr": oscr(known, right, unknown),
    }


def _least(values: Tensor, share: float) -> Tensor:
    """The smallest of some values that at least a share of them do not exceed."""
    rank = math.ceil(round(share * len(values), 9))
    return values.sort().values[max(rank, 1) - 1]
