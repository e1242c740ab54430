"""EvenSpectrum: the rows of a batch fill all directions alike."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from holdfast.core.numerics import at_least_float32
from holdfast.core.step import Part, Step
from holdfast.loss.checks import require_matrix, require_option
from holdfast.loss.term import Term

FLOOR = 1e-6  # added to the eigenvalues, so that a gradient is finite where one is 0
LEAST_LENGTH = 1e-6  # of the longest row's, below which a row has no direction


def uneven_spectrum(u: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
    """1 - ||U||_* / sqrt(N r), U the rows at length 1, r = min(N, d): 0 iff all singular values are equal.

    ||U||_* is the sum of the singular values. Of equal rows it is 1 - 1/sqrt(r), the largest it can be.

    Args:
        u: (N, d) rows; those of (nearly) no length are left out.

    Raises:
        DataError: for what is no matrix.

    Source: Moon et al., MSBReg, 2022 (arXiv 2207.03552). The paper names a singular-value part; its form is
        not verified against the source, and this one is a choice

    >>> uneven_spectrum(torch.tensor([[2.0, 0.0], [3.0, 0.0]]))  # 1 - 1/sqrt(2), less a floor
    tensor(0.2924)
    """
    require_matrix("rows", u)
    if not len(u):
        return u.sum()
    u = at_least_float32(u)
    length = u.detach().norm(dim=1)
    there = length > LEAST_LENGTH * length.max()
    u = functional.normalize(u, dim=1) * there[:, None]
    with torch.autocast(u.device.type, enabled=False):
        gram = u @ u.T if len(u) <= u.shape[1] else u.T @ u
        nuclear = (torch.linalg.eigvalsh(gram).clamp_min(0.0) + FLOOR).sqrt().sum()
    rows = there.sum().clamp_min(1).to(u)
    return 1 - nuclear / (rows * rows.clamp_max(u.shape[1])).sqrt()


class EvenSpectrum(Term):
    """`uneven_spectrum` of a part's embeddings or features.

    K classes collapsed onto their means have rank K - 1: asked of all rows with a weight above 0.01 it
    works against that.

    Args:
        of: ``embedding`` or ``features``.
        on: the part it is asked of.

    Raises:
        ConfigError: for another space.

    Source: as `uneven_spectrum`; MSBReg's centroids need a slow network, and its Brownian part is noise of
        the gradient: neither is built
    """

    label = "singular"

    def __init__(self, of: Literal["embedding", "features"] = "embedding", on: str = "new"):
        super().__init__()
        require_option("space", of, ("embedding", "features"))
        self.of, self.on = of, on
        self.reads = (of,)

    def value(self, part: Part, step: Step) -> Tensor:
        """Of the part's rows."""
        return uneven_spectrum(getattr(part.out, self.of))
