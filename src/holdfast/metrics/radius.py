"""Slopes: how stationary a point is, and how far a quadratic model of a loss holds."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from holdfast.core.numerics import in_float64
from holdfast.metrics.missing import Missing


def stationarity(gradients: Float[Tensor, "n p"]) -> float:
    """||g|| / (sigma / sqrt n), g the mean of the gradients and sigma^2 their mean square from it.

    0 at the optimum of these rows, about 1 at that of the population they come from; above 3 the
    linear term of an expansion counts.

    Args:
        gradients: (n, P) of the loss of each row.

    Returns:
        a number >= 0; `Missing` for fewer than two rows, or gradients that are all equal.

    >>> round(stationarity(torch.tensor([[1.0], [3.0]])), 4)  # 2 / (1 / sqrt 2)
    2.8284
    """
    rows = in_float64(gradients)
    return stationarity_of(rows.sum(0), float(rows.square().sum()), len(rows))


def stationarity_of(total: Float[Tensor, " p"], squares: float, n: int) -> float:
    """`stationarity` from sums over rows, where all gradients together do not fit in memory.

    Args:
        total: (P,) sum of the gradients.
        squares: sum of their squared lengths.
        n: how many.
    """
    if n < 2:
        return Missing("it takes two rows")
    mean = float(in_float64(total).square().sum()) / n**2
    spread = squares / n - mean
    if not spread > 1e-14 * squares / n:
        return Missing("all gradients are equal")
    return math.sqrt(mean * n / spread)


def gradient_gap(first: Float[Tensor, " p"], second: Float[Tensor, " p"]) -> float:
    """||first - second|| / ||first||: how differently two anchors pull at one point.

    Args:
        first: (P,) gradient of the one, for example of a prior.
        second: (P,) of the other, for example of a distillation.

    Returns:
        a number >= 0; `Missing` where the first is 0.

    >>> gradient_gap(torch.tensor([3.0, 4.0]), torch.tensor([3.0, 0.0]))
    0.8
    """
    first, second = in_float64(first), in_float64(second)
    if not bool(first.norm() > 0):
        return Missing("the first anchor has no slope there")
    return float((first - second).norm() / first.norm())


def quadratic_radius(
    slope: Callable[[Tensor], Tensor],
    product: Float[Tensor, " p"],
    direction: Float[Tensor, " p"],
    tolerance: float = 0.5,
    reach: tuple[float, float] = (1e-3, 1e2),
    points: int = 11,
) -> float:
    """The largest r with ||g(r u) - g(0) - r B u|| <= tolerance ||r B u||, u the direction at length 1.

    Looked for on a logarithmic grid, and then by halves between the largest point that holds and the
    next. For w^2 / 2 + c w^3 / 6 it is 2 tolerance / c. Rectified units bend a loss at kinks that its
    Hessian does not see: it may be quadratic at no length.

    Args:
        slope: d to the gradient at w0 + d.
        product: (P,) B u.
        direction: (P,) of any length; u is it at length 1.
        tolerance: share of the quadratic's own gradient by which it may err.
        reach: least and largest r.
        points: of the grid.

    Returns:
        r; infinite if it holds at the largest; `Missing` for no direction, no curvature along it, or a
        model that holds nowhere.
    """
    size = float(in_float64(direction).norm())
    if not size > 0:
        return Missing("the weights did not move")
    unit, start = direction / size, in_float64(slope(torch.zeros_like(direction)))
    bend = in_float64(product)
    if not bool(bend.norm() > 0):
        return Missing("the loss has no curvature along the move")

    def holds(r: float) -> bool:
        error = in_float64(slope(r * unit)) - start - r * bend
        return bool(error.norm() <= tolerance * r * bend.norm())

    low, high = (math.log10(r) for r in reach)
    grid = torch.logspace(low, high, points, dtype=torch.float64).tolist()
    last = next((place for place in reversed(range(points)) if holds(grid[place])), -1)
    if last == points - 1:
        return math.inf
    if last < 0:
        return Missing(f"the loss is quadratic along the move at no length from {reach[0]:.2g} on")
    low, high = grid[last], grid[last + 1]
    for _ in range(12):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low
