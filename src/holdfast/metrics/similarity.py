"""How alike two representations of the same rows are, in float64 (docs/theory.md, section 15).

What each does not see: CKA, rotation and scale, and much of what a classifier uses; CCA, any
invertible linear map; Procrustes, rotation, scale and shift. Retrieval sees all of them.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from holdfast.core.numerics import in_float64
from holdfast.metrics.class_means import differ
from holdfast.metrics.missing import Missing

FEWEST = 5  # rows a direction, below which canonical correlations of unrelated data are large
CUT = 1e-10  # of the largest variance: a smaller one is rounding


class Cca(NamedTuple):
    """Canonical correlations in two figures.

    Attributes:
        mean_squared: mean rho^2.
        mean: mean rho.
    """

    mean_squared: float
    mean: float


class Aligned(NamedTuple):
    """Two representations after projection on their canonical directions, on rows that fitted none.

    Attributes:
        cka: unbiased.
        retrieval: share of rows whose nearest row in the other is the row itself.
    """

    cka: float
    retrieval: float


def cka(x: Float[Tensor, "n f"], y: Float[Tensor, "n g"], unbiased: bool = True) -> float:
    """HSIC(K, L) / sqrt(HSIC(K, K) HSIC(L, L)) of the Gram matrices K = x x^T, L = y y^T.

    ``unbiased`` takes the estimate of HSIC whose mean is 0 for independent data. The plain one,
    ||x^T y||_F^2 / (||x^T x||_F ||y^T y||_F) of centred columns, is 0.83 for 100 independent rows
    of 512 features.

    Args:
        x: (N, f) features of one network.
        y: (N, g) of the same rows by another.
        unbiased: see above.

    Returns:
        1 for equal up to rotation and scale, about 0 for unrelated; `Missing` for fewer than 4 rows,
        or a representation in which all rows are equal.

    Source: Kornblith et al., *Similarity of neural network representations revisited*, ICML 2019;
        Song et al., *Feature selection via dependence maximization*, JMLR 2012
    """
    x, y = _pair(x, y)
    if len(x) < 4:
        return Missing(f"it takes four rows, and there are {len(x)}")
    product = _hsic if unbiased else lambda a, b: (a.T @ b).square().sum()
    cross, first, second = product(x, y), product(x, x), product(y, y)
    size = first * second
    if not bool(first > 0) or not bool(second > 0):
        return Missing("all rows are equal in one of the two")
    return float(cross / size.sqrt())


def _hsic(x: Tensor, y: Tensor) -> Tensor:
    """N (n - 3) times the unbiased HSIC, with K~ = x x^T but for a diagonal of 0; K~ is never made."""
    n = len(x)
    k, m = x.square().sum(1), y.square().sum(1)  # the diagonals that are left out
    a, b = x @ x.sum(0) - k, y @ y.sum(0) - m  # sums of the rows of K~ and L~
    trace = (x.T @ y).square().sum() - (k * m).sum()
    return trace + a.sum() * b.sum() / ((n - 1) * (n - 2)) - 2 / (n - 2) * (a * b).sum()


def cca(x: Float[Tensor, "n f"], y: Float[Tensor, "n g"], keep: float = 1.0) -> Cca:
    """Canonical correlations: the singular values of S_x^-1/2 S_xy S_y^-1/2.

    With ``keep`` below 1 both are first cut to their largest principal components (SVCCA).

    Args:
        x: (N, f) features of one network.
        y: (N, g) of the same rows by another.
        keep: share of each one's variance that is kept.

    Returns:
        two numbers in [0, 1]; `Missing` with fewer than 5 rows a direction kept, where they are large
        for any data, or for a representation in which all rows are equal.

    Source: Raghu et al., *SVCCA*, NeurIPS 2017
    """
    x, y = _pair(x, y)
    (a, _), (b, _) = _whitened(x, keep), _whitened(y, keep)
    lacks = _too_few(len(x), max(a.shape[1], b.shape[1]))
    if lacks or not a.shape[1] or not b.shape[1]:
        reason = lacks or "all rows are equal in one of the two"
        return Cca(Missing(reason), Missing(reason))
    rho = torch.linalg.svdvals(a.T @ b).clamp_max(1)
    return Cca(float(rho.square().mean()), float(rho.mean()))


def procrustes(x: Float[Tensor, "n f"], y: Float[Tensor, "n g"]) -> float:
    """1 - d^2 / 2 = ||x^T y||_* of centred columns at Frobenius length 1.

    d is the distance that the best rotation leaves. 1 if and only if they are equal up to rotation,
    scale and shift.

    Args:
        x: (N, f) features of one network.
        y: (N, g) of the same rows by another.

    Returns:
        a number in [0, 1]; `Missing` for fewer rows than features, where it is large for any data, or
        rows that are all equal.
    """
    x, y = _pair(x, y)
    if len(x) < max(x.shape[1], y.shape[1]):
        return Missing(_rows_for(len(x), max(x.shape[1], y.shape[1])))
    if not bool(x.abs().max() > 0) or not bool(y.abs().max() > 0):
        return Missing("all rows are equal in one of the two")
    return float(torch.linalg.svdvals((x / x.norm()).T @ (y / y.norm())).sum())


def retrieval(x: Float[Tensor, "n f"], y: Float[Tensor, "n f"]) -> float:
    """Retrieval@1: the share of rows of x whose nearest row among those of y is the same one.

    Args:
        x: (N, f) features by one network.
        y: (N, f) of the same rows by another; several at one place count as found.

    Returns:
        a share; `Missing` for fewer than two rows.

    >>> retrieval(torch.eye(3), torch.eye(3) + 10), retrieval(torch.eye(3), torch.eye(3).flip(0))
    (1.0, 0.3333333333333333)
    """
    if len(x) < 2:
        return Missing("it takes two rows")
    x, y = in_float64(x), in_float64(y)
    distance = torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")
    return float((distance.diagonal() <= distance.amin(1)).double().mean())


def aligned_similarity(
    x: Float[Tensor, "n f"], y: Float[Tensor, "n g"], k: int = 10, keep: float = 0.99
) -> Aligned:
    """Both projected on their first k canonical directions, fitted on every other row; read on the rest.

    Args:
        x: (N, f) features of one network.
        y: (N, g) of the same rows by another.
        k: directions, or as many as there are.
        keep: share of each one's variance that is kept before.

    Returns:
        `Aligned`; `Missing` with fewer than 5 fitting rows a direction kept.
    """
    x, y = in_float64(x), in_float64(y)
    fit = torch.arange(len(x), device=x.device) % 2 == 0
    left, right = x - x[fit].mean(0), y - y[fit].mean(0)
    (a, back), (b, forth) = _whitened(left[fit], keep), _whitened(right[fit], keep)
    lacks = _too_few(int(fit.sum()), max(a.shape[1], b.shape[1]))
    if lacks or not a.shape[1] or not b.shape[1]:
        reason = lacks or "all rows are equal in one of the two"
        return Aligned(Missing(reason), Missing(reason))
    u, _, v = torch.linalg.svd(a.T @ b, full_matrices=False)
    first, second = left[~fit] @ back @ u[:, :k], right[~fit] @ forth @ v[:k].T
    return Aligned(cka(first, second), retrieval(first, second))


def mean_drift(past: Float[Tensor, "n f"], now: Float[Tensor, "n f"]) -> float:
    """||mean now - mean past|| / spread of the past, the root mean square distance from its mean.

    Args:
        past: (N, f) features before.
        now: (N, f) of the same rows, or of the same class, now.

    Returns:
        a number >= 0; `Missing` for fewer than two rows, or past rows that are all equal.

    >>> mean_drift(torch.tensor([[0.0], [2.0]]), torch.tensor([[3.0], [5.0]]))
    3.0
    """
    if len(past) < 2 or not len(now):
        return Missing("it takes two rows")
    past, now = in_float64(past), in_float64(now)
    spread = (past - past.mean(0)).square().sum(1).mean().sqrt()
    if not differ(past):
        return Missing("all past rows are equal")
    return float((now.mean(0) - past.mean(0)).norm() / spread)


def _pair(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Both in float64 with columns of mean 0; rows that are equal but for rounding are 0."""
    x, y = in_float64(x), in_float64(y)
    return tuple(a - a.mean(0) if differ(a) else torch.zeros_like(a) for a in (x, y))  # type: ignore[return-value]


def _whitened(x: Tensor, keep: float) -> tuple[Tensor, Tensor]:
    """Centred rows in their principal directions at length 1, (N, r), and the (f, r) map to them."""
    u, size, v = torch.linalg.svd(x, full_matrices=False)
    square = size.square()
    kept = square > CUT * square.max().clamp_min(1e-300)
    if keep < 1 and bool(kept.any()):
        share = square.cumsum(0) / square.sum()
        kept &= torch.arange(len(size), device=x.device) <= (share < keep).sum()
    return u[:, kept], v[kept].T / size[kept]


def _too_few(rows: int, directions: int) -> str:
    if rows >= FEWEST * directions:
        return ""
    return f"{rows} rows are fewer than {FEWEST} for each of {directions} directions"


def _rows_for(rows: int, features: int) -> str:
    return f"{rows} rows are fewer than the {features} features"
