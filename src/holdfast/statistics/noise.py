"""What a drift map does not explain: rows of a class move apart, and their scatter grows by that."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from holdfast.core.numerics import class_sums


def left_within(
    now: Float[Tensor, "n f"],
    mapped: Float[Tensor, "n f"],
    y: Int[Tensor, " n"] | None,
    unseen: float = 0.0,
) -> Float[Tensor, "f f"]:
    """(f, f) covariance within classes of e = now - mapped, as large as on rows that the map did not see.

    A map A turns a scatter S into A^T S A, which is too narrow: of what the network did to rows it
    holds the part alone that a map can tell. What is left adds this covariance to every row's.

    Args:
        now: rows by the present network.
        mapped: the same by the map, from the past one.
        y: their classes; None takes them for one.
        unseen: mean of |e|^2 on rows that were not fitted; below its mean here nothing is scaled.

    Source: the law of total covariance; docs/theory.md, section 9
    """
    left = now - mapped
    total = float((left**2).sum() / len(left))
    y = y if y is not None else torch.zeros(len(left), dtype=torch.long, device=left.device)
    classes, place = y.unique(return_inverse=True)
    count = torch.bincount(place).to(left)
    left = left - (class_sums(None, left, place, len(classes)) / count[:, None])[place]
    covariance = left.T @ left / max(len(left) - len(classes), 1)
    return covariance * max(unseen / total, 1.0) if total else covariance
