"""Uniformity: features that spread over the sphere leave room for classes to come."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from holdfast.core.errors import ConfigError
from holdfast.core.step import Part, Step
from holdfast.loss.checks import require_matrix, require_option
from holdfast.loss.term import Term
from holdfast.loss.tiles import LARGE
from holdfast.loss.uniform_tiles import log_sum_of_pairs

LEAST_LENGTH = 1e-6  # of the longest row's, below which a row has no direction


def uniformity(z: Float[Tensor, "n d"], t: float = 2.0) -> Float[Tensor, ""]:
    """The scalar log mean_{i<j} exp(-t ||z_i - z_j||^2) of unit rows; 0 if all are one, and for a lone row.

    Args:
        z: (N, d); rows are brought to unit length. Those of (nearly) no length are left out.
        t: how near a pair must be to count, > 0.

    Raises:
        ConfigError: if t is not positive.
        DataError: if z is no matrix.

    Source: Wang and Isola, *Understanding contrastive representation learning*, ICML 2020

    >>> uniformity(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]), t=2.0)
    tensor(-8.)
    """
    if not t > 0:
        raise ConfigError(f"the sharpness of a uniformity must be positive, not t={t}.")
    require_matrix("rows", z)
    if len(z) < 2:
        return z.sum() * 0.0
    length = z.detach().norm(dim=1)
    there = length > LEAST_LENGTH * length.max()
    z = functional.normalize(z.to(torch.promote_types(z.dtype, torch.float32)), dim=1)
    with torch.autocast(z.device.type, enabled=False):
        if len(z) >= LARGE:
            return _mean_of_pairs(log_sum_of_pairs(z, there, t), there.sum())
        square = (2 - 2 * z @ z.T).clamp_min(0)
    i, j = torch.triu_indices(len(z), len(z), 1, device=z.device)
    pairs, rows = (-t * square[i, j]).masked_fill(~(there[i] & there[j]), -torch.inf), there.sum()
    return _mean_of_pairs(pairs.masked_fill(rows < 2, 0.0).logsumexp(0), rows)


def _mean_of_pairs(total: Tensor, rows: Tensor) -> Tensor:
    """The log of a mean over all pairs of rows, from the log of their sum; 0 where there is none."""
    pairs = (rows * (rows - 1) // 2).clamp_min(1).to(total)
    return (total - pairs.log()).masked_fill(rows < 2, 0.0)


class Uniformity(Term):
    """`uniformity` of a part's features or embeddings.

    Args:
        t: how near a pair must be to count, > 0.
        of: ``features`` or ``embedding``.
        on: the part it is asked of.

    Raises:
        ConfigError: if t is not positive, or for another space.
    """

    label = "uniformity"

    def __init__(
        self,
        t: float = 2.0,
        of: Literal["features", "embedding"] = "embedding",
        on: str = "batch",
    ):
        super().__init__()
        uniformity(torch.zeros(1, 1), t)
        require_option("space", of, ("features", "embedding"))
        self.t, self.of, self.on = t, of, on
        self.reads = (of,)

    def value(self, part: Part, step: Step) -> Tensor:
        """Over all pairs of the part's rows."""
        return uniformity(getattr(part.out, self.of), self.t)
