"""How much seeds, orders and chance each differ: y_so = m + a_s + b_o + e_so."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from holdfast.compare.paired import Estimate
from holdfast.core.errors import ConfigError


@dataclass(frozen=True)
class Components:
    """Variance by seed and by order of a complete table (docs/theory.md, section 14).

    Attributes:
        seed, order, rest: the variances; below 0 they are set to 0.
        negative: which of them came out below 0.
        seeds, orders: how many there are of each.
    """

    seed: float
    order: float
    rest: float
    negative: tuple[str, ...]
    seeds: int
    orders: int

    def share(self, part: float) -> float:
        """A variance as a share of all three; 0 where nothing varies."""
        total = self.seed + self.order + self.rest
        return part / total if total else 0.0


def variance_components(table: Float[np.ndarray, "s o"]) -> Components:
    """Variance components by the two-way analysis of variance: v_e = MS_res, v_a = (MS_s - MS_res) / O,
    v_b = (MS_o - MS_res) / S.

    Args:
        table: a value for every seed (row) and order (column).

    Raises:
        ConfigError: for fewer than two seeds or orders.
    """
    of_seeds, of_orders, rest = mean_squares(table)
    seeds, orders = table.shape
    parts = {"seed": (of_seeds - rest) / orders, "order": (of_orders - rest) / seeds}
    negative = tuple(name for name, value in parts.items() if value < 0)
    return Components(
        max(parts["seed"], 0.0), max(parts["order"], 0.0), rest, negative, seeds, orders
    )


def mean_squares(table: Float[np.ndarray, "s o"]) -> tuple[float, float, float]:
    """Mean squares of seeds, of orders, and of the rest (ConfigError as `variance_components`)."""
    seeds, orders = table.shape
    if min(seeds, orders) < 2:
        raise ConfigError(
            f"variance by seed and order needs two of each, not {seeds} seeds and {orders} orders."
        )
    mean = table.mean()
    by_seed, by_order = table.mean(1) - mean, table.mean(0) - mean
    left = table - mean - by_seed[:, None] - by_order[None, :]
    df = (seeds - 1) * (orders - 1)
    return (
        float(orders * (by_seed**2).sum() / (seeds - 1)),
        float(seeds * (by_order**2).sum() / (orders - 1)),
        float((left**2).sum() / df),
    )


def crossed(table: Float[np.ndarray, "s o"]) -> Estimate:
    """The mean of a complete table of seeds and orders, neither of which repeats the other.

    Var(mean) = v_a / S + v_b / O + v_e / (S O), estimated by (MS_s + MS_o - MS_res) / (S O), at least
    MS_res / (S O), with degrees of freedom by Satterthwaite's rule. A factor whose variance does not
    come out above 0 joins the rest: simulated, such intervals hold the mean in 92 to 99 % of cases, and
    are half as long on few seeds and orders as those that keep it.
    """
    seeds, orders = table.shape
    of_seeds, of_orders, rest = mean_squares(table)
    cells, df = seeds * orders, (seeds - 1) * (orders - 1)
    factors = [(of_seeds, seeds - 1), (of_orders, orders - 1)]
    joined = [(value, free) for value, free in factors if value <= rest]
    left = [(value, free) for value, free in factors if value > rest]
    whole = df + sum(free for _, free in joined)
    rest = (rest * df + sum(value * free for value, free in joined)) / whole
    if not left:
        return Estimate(cells, float(table.mean()), math.sqrt(rest / cells), whole, crossed=True)
    if len(left) == 1:
        ((total, free),) = left
        return Estimate(cells, float(table.mean()), math.sqrt(total / cells), free, crossed=True)
    total = max(of_seeds + of_orders - rest, rest)
    spread = sum(value**2 / free for value, free in [*left, (rest, whole)])
    free = min(max(total**2 / spread, 1.0), cells - 1.0)
    return Estimate(cells, float(table.mean()), math.sqrt(total / cells), free, crossed=True)
