"""AntiCollapse: the features of a batch must fill their dimensions."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from holdfast.core.errors import ConfigError
from holdfast.core.numerics import at_least_float32
from holdfast.core.step import Part, Step
from holdfast.loss.checks import require_matrix, require_option
from holdfast.loss.term import Term

Space = Literal["features", "embedding"]


def anti_collapse(
    h: Float[Tensor, "n f"], beta: float = 1.0, jitter: float = 1e-6
) -> Float[Tensor, ""]:
    """-mean_j min(L_jj, beta), L the Cholesky factor of the rows' covariance + jitter I.

    L_jj^2 is what of feature j's variance the features before it do not tell, so that the value falls
    until every direction varies by beta, and then rests. It depends on the order of the features.

    Args:
        h: (N, f) features, of more than f rows; of fewer, their covariance is singular and the jitter
            alone keeps the value finite.
        beta: least deviation that is asked, in the features' own units.
        jitter: added to the diagonal; at least the rounding of the covariance, 4 eps times its trace.

    Raises:
        ConfigError: unless beta and jitter are positive.
        DataError: for what is not (N, f).

    Source: Rypesc et al., *Task-recency bias strikes back* (AdaGauss), NeurIPS 2024

    >>> anti_collapse(torch.tensor([[3.0, 0.0], [-3.0, 0.0], [0.0, 0.5], [0.0, -0.5]]), beta=2.0)
    tensor(-1.2041)
    """
    if not (beta > 0 and jitter > 0):
        raise ConfigError(f"beta and jitter must be positive, not {beta} and {jitter}.")
    require_matrix("features", h)
    if len(h) < 2:
        return h.sum() * 0.0
    h = at_least_float32(h)
    away = h - h.mean(0)
    covariance = away.T @ away / (len(h) - 1)
    rounding = 4 * torch.finfo(h.dtype).eps * covariance.detach().trace()
    ridge = rounding.clamp_min(jitter).expand(len(covariance)).diag()
    root, _ = torch.linalg.cholesky_ex(covariance + ridge)
    return -root.diagonal().clamp_max(beta).mean()


class AntiCollapse(Term):
    """`anti_collapse` of a batch's features.

    A covariance needs more rows than features. Of a batch with fewer, a block of so many features that it
    has two rows for each is drawn anew in every step, and the rest rest; a batch of under 3 rows asks
    nothing. Published networks have 64 features for that reason.

    Args:
        beta: least deviation that is asked, in the features' own units.
        jitter: added to the diagonal of the covariance.
        of: ``features`` or ``embedding``.
        on: the part it is asked of.

    Raises:
        ConfigError: unless beta and jitter are positive; for an unknown space.

    Source: AdaGauss, NeurIPS 2024; the blocks are this library's
    """

    label = "anti_collapse"

    def __init__(
        self, beta: float = 1.0, jitter: float = 1e-6, of: Space = "features", on: str = "batch"
    ):
        super().__init__()
        require_option("feature space", of, get_args(Space))
        anti_collapse(torch.zeros(2, 1), beta, jitter)
        self.beta, self.jitter, self.of, self.on = beta, jitter, of, on
        self.reads = (of,)

    def value(self, part: Part, step: Step) -> Tensor:
        """Of the part's rows."""
        h = getattr(part.out, self.of)
        rows, width = h.shape
        if rows < 3:
            return h.sum() * 0.0
        if rows <= width:
            h = h[:, torch.randperm(width, device=h.device)[: rows // 2]]
        return anti_collapse(h, self.beta, self.jitter)
