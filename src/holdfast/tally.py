"""Running sums by class, for statistics that grow as classes arrive."""

from __future__ import annotations

from jaxtyping import Float, Int, Shaped
from torch import Tensor


def add_by_class(
    known: Shaped[Tensor, "o ..."] | None,
    x: Float[Tensor, "n ..."],
    y: Int[Tensor, " n"],
    classes: int,
) -> Float[Tensor, "k ..."]:
    """(K, ...) sums of the rows of each class, on top of the (O, ...) sums known before, O <= K.

    >>> import torch
    >>> add_by_class(torch.tensor([1.0]), torch.tensor([2.0, 3.0, 4.0]), torch.tensor([0, 1, 1]), 2)
    tensor([3., 7.])
    """
    total = x.new_zeros(classes, *x.shape[1:])
    if known is not None and len(known):
        total[: len(known)] = known
    return total.index_add(0, y, x)
