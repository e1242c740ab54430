"""Weighed rows: statistics to which each row is added as often as it weighs."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from holdfast.core.numerics import class_sums
from holdfast.statistics.class_statistics import Statistics


def add_weighed(
    known: Statistics,
    x: Float[Tensor, "n f"],
    y: Int[Tensor, " n"],
    classes: int = 0,
    weight: Float[Tensor, " n"] | None = None,
) -> Statistics:
    """`Statistics.add`, with a row of weight w counted as w equal rows: n_k = sum w, m_k = sum w x / n_k.

    The scatter of a class is that of the deviations times sqrt(w).

    Args:
        known: to which they are added.
        x: rows.
        y: their classes.
        classes: how many there are at least.
        weight: w, at least 0; None is 1 for all.
    """
    if weight is None:
        return known.add(x, y, classes)
    x, weight = x.double(), weight.to(x.device).double()
    classes = max(classes, len(known.count), int(y.max()) + 1 if len(y) else 0)
    count = class_sums(None, weight, y, classes)
    sums = class_sums(None, weight[:, None] * x, y, classes)
    mean = sums / torch.where(count > 0, count, 1.0)[:, None]
    away = (x - mean[y]) * weight.sqrt()[:, None]
    return known.merge(Statistics(count, mean, known.scatter.of(away, y, classes)))
