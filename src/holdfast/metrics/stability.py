"""Whether distances between rows are many features' word or few's: Shesha (docs/theory.md, section 15)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from holdfast.core.numerics import in_float64
from holdfast.metrics.missing import Missing


def shesha(x: Float[Tensor, "n f"], halves: int = 30, seed: int = 0, most: int = 1600) -> float:
    """Mean over random halves of the features of the rank correlation of the rows' cosine distances.

    Rows are at unit length. A rotation of the features changes it: `rotated` features are to be
    reported with it. A collapsed representation has few distances that differ, and so many ties.

    Args:
        x: (N, f) features.
        halves: how many draws; where f is odd, one feature is left out.
        seed: of the draws.
        most: rows; of more, as many are taken at even distances.

    Returns:
        a number in [-1, 1]; `Missing` for fewer than 4 rows or features, or where all distances are
        equal in every draw.

    Source: the package shesha-geometry 0.2.22, its split by features
    """
    x = in_float64(x)
    if len(x) < 4 or x.shape[1] < 4:
        few = "rows" if len(x) < 4 else "features"
        return Missing(f"it takes four {few}, and there are {x.shape[few == 'features']}")
    if len(x) > most:
        x = x[torch.linspace(0, len(x) - 1, most, device=x.device).long()]
    x = torch.nn.functional.normalize(x, dim=1)
    generator, half = torch.Generator().manual_seed(seed), x.shape[1] // 2
    values = []
    for _ in range(halves):
        order = torch.randperm(x.shape[1], generator=generator).to(x.device)
        value = spearman(*(cosine_distances(x[:, order[s : s + half]]) for s in (0, half)))
        values += [value] if value == value else []
    if not values:
        return Missing("all distances are equal")
    return sum(values) / len(values)


def rotated(x: Float[Tensor, "n f"], seed: int = 0) -> Float[Tensor, "n f"]:
    """The same rows in float64, in a random rotation of the features.

    Args:
        x: (N, f) features.
        seed: of the rotation.
    """
    x, f = in_float64(x), x.shape[1]
    generator = torch.Generator().manual_seed(seed)
    q, r = torch.linalg.qr(torch.randn(f, f, generator=generator, dtype=torch.float64))
    return x @ (q * r.diagonal().sign()).to(x.device)


def distance_drift(x: Float[Tensor, "n f"], y: Float[Tensor, "n g"], most: int = 1600) -> float:
    """1 - rank correlation of the cosine distances between the same rows in two networks.

    Args:
        x: (N, f) features by one.
        y: (N, g) by the other.
        most: as for `shesha`.

    Returns:
        0 where the order of all distances is the same; `Missing` for fewer than 4 rows, or equal
        distances.
    """
    if len(x) < 4:
        return Missing(f"it takes four rows, and there are {len(x)}")
    if len(x) > most:
        kept = torch.linspace(0, len(x) - 1, most, device=x.device).long()
        x, y = x[kept], y[kept]
    value = spearman(cosine_distances(x), cosine_distances(y))
    return value if value != value else 1 - value


def cosine_distances(x: Float[Tensor, "n f"]) -> Float[Tensor, " m"]:
    """(N (N - 1) / 2,) 1 - cos of every pair of rows; a row of length 0 has distance 1 to all."""
    x = torch.nn.functional.normalize(in_float64(x), dim=1)
    first, second = torch.triu_indices(len(x), len(x), 1, device=x.device)
    return 1 - (x @ x.T)[first, second]


def spearman(a: Float[Tensor, " n"], b: Float[Tensor, " n"]) -> float:
    """Correlation of the ranks of two columns; equal values share their mean rank.

    Args:
        a: (N,) one column.
        b: (N,) the other.

    Returns:
        a number in [-1, 1]; `Missing` where all values of a column are equal (within 1e-12 of the
        largest, which is rounding).

    >>> round(spearman(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1.0, 4.0, 9.0])), 9)
    1.0
    """
    for column in (a, b):
        if len(column) < 2 or float(column.max() - column.min()) <= 1e-12 * max(
            float(column.abs().max()), 1.0
        ):
            return Missing("all distances are equal")
    first, second = _ranks(in_float64(a)), _ranks(in_float64(b))
    first, second = first - first.mean(), second - second.mean()
    return float((first * second).sum() / (first.norm() * second.norm()))


def _ranks(values: Tensor) -> Tensor:
    """Ranks from 0; equal values have the mean of theirs."""
    _, place, count = values.unique(return_inverse=True, return_counts=True)
    return ((count.cumsum(0) - count) + (count - 1) / 2.0)[place].double()
