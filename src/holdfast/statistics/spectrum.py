"""The leading directions of a class, read off whatever its scatter keeps."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from holdfast.statistics.class_statistics import Statistics
from holdfast.statistics.roots import FactorScatter, LowRankScatter

ROUNDING = 1e-12  # share of the largest eigenvalue below which one is 0


class Spectrum(NamedTuple):
    """Eigenvalues of a matrix that are not 0, the largest first.

    Attributes:
        values: (R,) that have a direction.
        directions: (R, f) of them, orthonormal.
        rest: the sum of the others, whose directions are not known; 0 but for a ``low_rank`` scatter.
    """

    values: Float[Tensor, " r"]
    directions: Float[Tensor, "r f"]
    rest: float


def class_spectrum(
    statistics: Statistics, k: int, rows: Float[Tensor, "m f"] | None = None
) -> Spectrum:
    """Of S_k + X^T X, S_k the scatter of class k.

    Of a scatter of roots it costs an SVD of as many rows as those have, else one of f x f.

    Args:
        statistics: with a scatter a class (ConfigError for one without).
        k: the class.
        rows: X; None adds nothing.
    """
    scatter, rows = statistics.scatter, statistics.mean[:0] if rows is None else rows
    if isinstance(scatter, (LowRankScatter, FactorScatter)):
        root = scatter.root[k] if isinstance(scatter, LowRankScatter) else scatter.pieces[k]
        _, s, directions = torch.linalg.svd(torch.cat([root, rows]), full_matrices=False)
        values = s**2
    else:
        values, vectors = torch.linalg.eigh(scatter.matrix(k) + rows.T @ rows)
        values, directions = values.flip(0), vectors.T.flip(0)
    real = values > ROUNDING * values[:1].sum()
    values, directions = values[real], directions[real]
    if not isinstance(scatter, LowRankScatter):
        return Spectrum(values, directions, 0.0)
    even = float(scatter.tail[k])
    return Spectrum(values + even, directions, even * (directions.shape[1] - len(directions)))
