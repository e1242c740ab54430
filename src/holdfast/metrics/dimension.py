"""How many dimensions a representation uses, in float64 (docs/theory.md, section 15)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from holdfast.core.numerics import in_float64
from holdfast.metrics.class_means import differ
from holdfast.metrics.missing import Missing

FEWEST = 10  # rows for a dimension by neighbours


class TwoNN(NamedTuple):
    """The intrinsic dimension by the distances to two neighbours.

    Attributes:
        slope: of -log(1 - i/N) on log mu through 0, without the largest ratios.
        likelihood: (N - 1) / sum log mu.
        dropped: rows that were left out for another at the same place.
    """

    slope: float
    likelihood: float
    dropped: int


def two_nn(x: Float[Tensor, "n f"], cut: float = 0.1) -> TwoNN:
    """Mu = r2 / r1 of each row's distances to its two neighbours has the law 1 - mu^-d.

    Biased low where the dimension is high: 8.3 for a cube of 10 dimensions and 2000 rows.

    Args:
        x: (N, f) features; rows at the same place count once.
        cut: share of the largest ratios that the slope leaves out.

    Returns:
        `TwoNN`; `Missing` for fewer than 10 different rows, or a lattice, where all ratios are 1.

    Source: Facco et al., *Estimating the intrinsic dimension of datasets by a minimal neighborhood
        information*, 2017
    """
    rows = in_float64(x).unique(dim=0)
    dropped, N = len(x) - len(rows), len(rows)
    if N < FEWEST:
        reason = f"it takes {FEWEST} different rows, and there are {N}"
        return TwoNN(Missing(reason), Missing(reason), dropped)
    near = torch.cat([
        torch.cdist(some, rows, compute_mode="donot_use_mm_for_euclid_dist")
        .topk(3, largest=False)
        .values
        for some in rows.split(512)
    ])  # fmt: skip
    ratio = (near[:, 2] / near[:, 1]).log().sort().values
    if not bool(ratio[-1] > 0):
        return TwoNN(
            Missing("all rows have neighbours at one distance"), Missing("the same"), dropped
        )
    kept = torch.arange(1, N + 1, device=rows.device, dtype=torch.float64)[: int(N * (1 - cut))]
    kept, ratio_kept = kept[kept < N], ratio[: int((kept < N).sum())]
    height = -(1 - kept / N).log()
    slope = (height * ratio_kept).sum() / ratio_kept.square().sum()
    return TwoNN(float(slope), float((N - 1) / ratio.sum()), dropped)


def participation_ratio(x: Float[Tensor, "n f"], all_rows: bool = False) -> float:
    """(sum l)^2 / sum l^2 of the eigenvalues of the covariance: k for k equal ones.

    Falling from task to task it shows a dimensional collapse.

    Args:
        x: (N, f) features.
        all_rows: the rows are all there is, such as class means, and no sample of more.

    Returns:
        a number in [1, f]; `Missing` for fewer rows than features, unless they are all, or equal rows.

    >>> round(participation_ratio(torch.eye(5), all_rows=True), 9)
    4.0
    """
    values = _eigenvalues(x, all_rows)
    return values if isinstance(values, float) else float(values.sum() ** 2 / (values**2).sum())


def effective_rank(x: Float[Tensor, "n f"], all_rows: bool = False) -> float:
    """Exp of the entropy of l / sum l, the eigenvalues of the covariance as shares.

    Args:
        x: (N, f) features.
        all_rows: as for `participation_ratio`.

    Returns:
        a number in [1, f]; `Missing` as for `participation_ratio`.

    Source: Roy, Vetterli, *The effective rank*, EUSIPCO 2007

    >>> round(effective_rank(torch.eye(5), all_rows=True), 9)
    4.0
    """
    values = _eigenvalues(x, all_rows)
    if isinstance(values, float):
        return values
    share = values / values.sum()
    return float((-torch.xlogy(share, share).sum()).exp())


def _eigenvalues(x: Tensor, all_rows: bool) -> Tensor | Missing:
    """Of the covariance, >= 0, up to a common factor."""
    x = in_float64(x)
    if len(x) < 2:
        return Missing("it takes two rows")
    if len(x) < x.shape[1] and not all_rows:
        return Missing(f"{len(x)} rows are fewer than the {x.shape[1]} features")
    if not differ(x):
        return Missing("all rows are equal")
    x = x - x.mean(0)
    return torch.linalg.svdvals(x / x.abs().max()).square()
