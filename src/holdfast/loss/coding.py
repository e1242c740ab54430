"""CodingRate: embeddings that fill the space, and classes that each fill little of it."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from holdfast.core.constants import class_index
from holdfast.core.errors import ConfigError
from holdfast.core.numerics import at_least_float32
from holdfast.core.step import Part, Step
from holdfast.loss.checks import require_labels
from holdfast.loss.term import Term


def coding_rate(
    z: Float[Tensor, "n d"],
    y: Int[Tensor, " n"] | None = None,
    epsilon: float = 0.5,
    classes: Int[Tensor, " c"] | None = None,
) -> Float[Tensor, ""]:
    """R(Z) - sum_c (n_c/N) R(Z_c), R(Z) = 1/2 logdet(I + d/(N epsilon) Z^T Z): the coding-rate reduction.

    Determinants are taken of d x d or of N x N matrices, whichever are smaller.

    Args:
        z: (N, d) rows of length 1.
        y: (N,) classes; None leaves R(Z) alone, the expansion.
        epsilon: the paper's squared distortion.
        classes: those that may be among y; None looks.

    Raises:
        ConfigError: unless epsilon is positive.
        DataError: for labels of another number than rows.

    Source: Yu et al., *Learning diverse and discriminative representations via the principle of maximal
        coding rate reduction*, NeurIPS 2020

    >>> coding_rate(torch.eye(4), torch.arange(4))  # 2 log 3, less the log 9 / 2 of each class
    tensor(1.0986)
    """
    if not epsilon > 0:
        raise ConfigError(f"the distortion epsilon must be positive, not {epsilon}.")
    require_labels(z, torch.zeros(len(z)) if y is None else y)
    z = at_least_float32(z)
    n = len(z)
    if not n:
        return z.sum()
    with torch.autocast(z.device.type, enabled=False):
        one = torch.ones(1, n, dtype=z.dtype, device=z.device)
        rate = _rates(z, one, epsilon)[0]
        if y is None:
            return rate
        classes = y.unique() if classes is None else classes
        member = (y[None, :] == classes[:, None]).to(z)
        return rate - (member.sum(1) / n * _rates(z, member, epsilon)).sum()


def _rates(
    z: Float[Tensor, "n d"], member: Float[Tensor, "c n"], epsilon: float
) -> Float[Tensor, " c"]:
    """(C,) R of the rows of each class; 0 for one without rows."""
    n, d = z.shape
    scale = d / (epsilon * member.sum(1).clamp_min(1))
    if d <= n:
        gram = torch.einsum("cn,nd,ne->cde", member, z, z)
    else:
        gram = member[:, :, None] * (z @ z.T) * member[:, None, :]
    eye = torch.eye(gram.shape[1], dtype=z.dtype, device=z.device)
    root, _ = torch.linalg.cholesky_ex(eye + scale[:, None, None] * gram)
    return root.diagonal(dim1=1, dim2=2).log().sum(1)


class CodingRate(Term):
    """-`coding_rate` of a part's embeddings: to be lowered, so that the reduction grows.

    It wants subspaces that classes fill, where a contrast wants a point a class: choose one of the two.

    Args:
        epsilon: the paper's squared distortion.
        compress: whether each class's own rate counts against it; without, only the expansion of all.
        dim: width of the embedding; None takes any.
        on: the part it is asked of.

    Raises:
        ConfigError: unless epsilon is positive.

    Source: Yu et al., NeurIPS 2020
    """

    label = "coding_rate"
    reads = ("embedding",)

    def __init__(
        self,
        epsilon: float = 0.5,
        compress: bool = True,
        dim: int | None = None,
        on: str = "batch",
    ):
        super().__init__()
        coding_rate(torch.zeros(0, 1), None, epsilon)
        self.epsilon, self.compress, self.dim, self.on = epsilon, compress, dim, on
        self.needs_rivals = compress

    def value(self, part: Part, step: Step) -> Tensor:
        """Of the part's rows; classes are those met so far."""
        classes = class_index(step.seen, part.rows.y.device)
        y = part.rows.y if self.compress else None
        return -coding_rate(part.out.embedding, y, self.epsilon, classes)
