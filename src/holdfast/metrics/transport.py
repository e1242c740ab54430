"""Monge gap: how far a movement of rows is from the cheapest one with the same ends."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from holdfast.core.numerics import in_float64
from holdfast.metrics.missing import Missing

MOST = 1000  # rows of an exact assignment


def monge_gap(
    past: Float[Tensor, "n f"], now: Float[Tensor, "n f"], relative: bool = False
) -> float:
    """mean_i ||x_i - y_i||^2 - min over pairings s of mean_i ||x_i - y_s(i)||^2.

    0 exactly if no other pairing of the same points is shorter: the movement is then the gradient of a
    convex function on these rows, such as a shift or a stretch. A rotation is none.

    Args:
        past: (N, f) x, at most 1000 rows.
        now: (N, f) y, of the same rows.
        relative: as a share of the first mean, in [0, 1].

    Returns:
        a number >= 0; `Missing` for more rows or none, or a share where nothing moved.

    Source: Uscidda, Cuturi, *The Monge gap*, ICML 2023, with the exact distance

    >>> monge_gap(torch.tensor([[0.0], [1.0]]), torch.tensor([[1.0], [0.0]]))
    1.0
    """
    from scipy.optimize import linear_sum_assignment

    if not len(past) or len(past) > MOST:
        return Missing(f"an exact assignment takes 1 to {MOST} rows, not {len(past)}")
    x, y = in_float64(past), in_float64(now)
    costs = torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist").square()
    pairs = (x - y).square().sum(1).mean()
    rows, places = linear_sum_assignment(costs.cpu().numpy())
    least = costs[torch.as_tensor(rows), torch.as_tensor(places)].mean()
    gap = float((pairs - least).clamp_min(0))
    if not relative:
        return gap
    return gap / float(pairs) if float(pairs) > 0 else Missing("nothing moved")
