"""How far old and new classes lie apart, and who lives where (docs/theory.md, section 15)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from holdfast.core.numerics import class_sums, in_float64
from holdfast.metrics.class_means import ClassMeans
from holdfast.metrics.missing import Missing


class Separation(NamedTuple):
    """Distances of class means in units of the classes' spread.

    Attributes:
        least: of the pair that is nearest.
        median: over the pairs.
    """

    least: float
    median: float


class Invasion(NamedTuple):
    """Shares of rows that lie nearer a centre of others than their class's.

    Attributes:
        new_into_old: of the new rows, nearer an old centre.
        old_into_new: of the old rows, nearer a new centre.
        across: of all these rows, nearer a centre of the other side.
        within_new: of the new rows, nearer another new centre: what the new task alone costs.
        error: standard error of ``across - within_new``, as of two independent samples.
    """

    new_into_old: float
    old_into_new: float
    across: float
    within_new: float
    error: float

    @property
    def signature(self) -> bool | None:
        """Failure signature 1: across exceeds within_new by over 2 standard errors; None if unknown."""
        excess = self.across - self.within_new
        return None if excess != excess or self.error != self.error else excess > 2 * self.error


def separation(
    x: Float[Tensor, "n f"], y: Int[Tensor, " n"], first: Sequence[int], second: Sequence[int]
) -> Separation:
    """||M_c - M_c'|| / sqrt((v_c + v_c') / 2) over pairs of a class of each side: the least and the median.

    Two Gaussians of deviation 1 in f dimensions at distance D have D / sqrt(f).

    Args:
        x: (N, f) features of rows that were not trained on.
        y: (N,) classes.
        first: classes of one side.
        second: of the other; a class on both sides is not paired with itself.

    Returns:
        two numbers, infinite for collapsed classes; `Missing` for a side without rows, or a class of one.
    """
    some = ClassMeans.of(x, y)
    a, b = some.places(tuple(first)), some.places(tuple(second))
    lacks = some.lacks
    if not lacks and (not len(a) or not len(b)):
        lacks = "one side has no rows"
    if lacks:
        return Separation(Missing(lacks), Missing(lacks))
    between = torch.cdist(some.means[a], some.means[b], compute_mode="donot_use_mm_for_euclid_dist")
    spread = ((some.spreads[a][:, None] + some.spreads[b]) / 2).sqrt()
    pairs = (between / spread)[a[:, None] != b]
    if not len(pairs) or bool(pairs.isnan().any()):
        reason = "two classes are one point" if len(pairs) else "there is no pair of classes"
        return Separation(Missing(reason), Missing(reason))
    return Separation(float(pairs.min()), float(pairs.quantile(0.5)))


def nearer(
    x: Float[Tensor, "n f"],
    y: Int[Tensor, " n"],
    centres: Float[Tensor, "k f"],
    others: Sequence[int],
    pairwise: bool = False,
    scale: Float[Tensor, " n"] | None = None,
) -> Float[Tensor, " n"]:
    """(N,) whether a row lies nearer a centre of some other classes than that of its class: 1 or 0.

    Args:
        x: (N, f) features.
        y: (N,) classes; class c's centre is ``centres[c]``.
        centres: (K, f) means or prototypes; one that is NaN does not compete.
        others: the other classes; a row's class is not compared with itself.
        pairwise: the share of the other centres that are nearer, in place of whether any is; NaN
            where no other competes.
        scale: (N,) what the distance to a row's class is multiplied by; None is 1.
    """
    x, centres = in_float64(x), in_float64(centres)
    y = y.to(x.device)
    distance = torch.cdist(x, centres, compute_mode="donot_use_mm_for_euclid_dist")
    there = [c for c in others if c < len(centres) and bool(centres[c].isfinite().all())]
    wanted = torch.tensor(there, dtype=torch.long, device=x.device)
    competes = wanted != y[:, None]
    mine = distance.gather(1, y[:, None])[:, 0] * (1 if scale is None else scale)
    closer = (distance[:, wanted] < mine[:, None]) & competes
    return closer.sum(1) / competes.sum(1).double() if pairwise else closer.any(1).double()


def invasion(
    x: Float[Tensor, "n f"],
    y: Int[Tensor, " n"],
    old: Sequence[int],
    new: Sequence[int],
    centres: Float[Tensor, "k f"] | None = None,
    pairwise: bool = False,
) -> Invasion:
    """Shares of new rows nearer an old centre than their class's, and of old rows nearer a new one.

    Where many old classes stand against few new ones, more centres are there to be nearer to:
    ``pairwise`` counts by pairs of classes, which can be compared with ``within_new``.

    Args:
        x: (N, f) features of rows that were not trained on.
        y: (N,) classes.
        old: classes of the tasks before.
        new: of this task.
        centres: (K, f) by class number; without it the means of the rows, for each row without
            itself, so that none draws its centre to itself.
        pairwise: a row counts by the share of centres that are nearer, not by whether any is.

    Returns:
        shares in [0, 1]; `Missing` for a side without rows, or a class of one row.
    """
    is_old, is_new = (torch.isin(y, y.new_tensor(list(side))) for side in (old, new))
    scale = torch.ones(len(y), dtype=torch.float64)
    lacks = "" if bool(is_old.any()) else "there are no rows of old classes"
    lacks = lacks or ("" if bool(is_new.any()) else "there are no rows of new classes")
    if not lacks and centres is None:
        some = ClassMeans.of(x, y)
        lacks, scale = some.lacks, (some.counts / (some.counts - 1.0))[some.place]
        centres = some.means.new_full((int(some.labels.max()) + 1, x.shape[1]), torch.nan)
        centres[some.labels] = some.means
    if lacks or centres is None:
        none = Missing(lacks)
        return Invasion(none, none, none, none, none)
    share = lambda rows, others: nearer(
        x[rows], y[rows], centres, others, pairwise, scale.to(x.device)[rows]
    )
    into_old, into_new = share(is_new, old), share(is_old, new)
    across = torch.cat([into_old, into_new])
    confused, error = Missing("the task has one class"), Missing("the task has one class")
    if len(y[is_new].unique()) > 1:
        within = share(is_new, new)
        confused = float(within.mean())
        error = float((across.var() / len(across) + within.var() / len(within)).sqrt())
    a, b, c = (float(side.mean()) for side in (into_old, into_new, across))
    return Invasion(a, b, c, confused, error)


def silhouette(x: Float[Tensor, "n f"], y: Int[Tensor, " n"], most: int = 2000) -> float:
    """Mean (b - a) / max(a, b), a the mean distance to the class of a row, b to the nearest other.

    Args:
        x: (N, f) features of rows that were not trained on.
        y: (N,) classes.
        most: rows; of more, as many are taken at even distances in the order of the classes.

    Returns:
        a number in [-1, 1]; `Missing` for fewer than two classes, or a class of one row.

    Source: Rousseeuw, *Silhouettes*, 1987
    """
    if len(x) > most:
        order = y.argsort(stable=True)
        kept = order[torch.linspace(0, len(y) - 1, most, device=y.device).long()]
        x, y = x[kept], y[kept]
    some = ClassMeans.of(x, y)
    if some.lacks:
        return Missing(some.lacks)
    distance = torch.cdist(some.x, some.x, compute_mode="donot_use_mm_for_euclid_dist")
    sums = class_sums(None, distance, some.place, len(some.labels)).T
    mine = some.place[:, None]
    a = sums.gather(1, mine)[:, 0] / (some.counts[some.place] - 1)
    b = (sums / some.counts).scatter(1, mine, torch.inf).amin(1)
    largest = torch.maximum(a, b)
    values = torch.where(largest > 0, (b - a) / largest.clamp_min(1e-300), largest)
    return float(values.mean())
