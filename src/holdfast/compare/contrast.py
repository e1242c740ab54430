"""One contrast: the paired difference of two methods, and what may be said of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from holdfast.compare.components import Components, crossed, variance_components
from holdfast.compare.paired import Estimate, estimated, floor_of_p, sign_flip

LEVEL = 0.05
MARGIN = 0.5  # points


@dataclass(frozen=True)
class Contrast:
    """The paired difference of two methods, a - b, in the unit of the metric as it is shown.

    Attributes:
        a, b: the methods.
        estimate: over the blocks that both have.
        p_flip: two-sided, of the sign-flip test over blocks.
        exact: whether all patterns of signs were counted.
        floor: the least p that this test can have with so many blocks.
        parts: variance of the difference by seed and order, where these are crossed.
        p_holm, flip_holm: p of the t test and of the sign flips, by Holm over the contrasts of the table.
        margin: within which both count as the same.
        better: 1 where more of the metric is better.
    """

    a: str
    b: str
    estimate: Estimate
    p_flip: float
    exact: bool
    floor: float
    parts: Components | None
    margin: float
    better: int
    p_holm: float = math.nan
    flip_holm: float = math.nan

    @property
    def verdict(self) -> str:
        """What may be said of it: better, worse, the same within the margin, or not told apart; nothing,
        where others were named beforehand.
        """
        if self.estimate.n < 2:
            return "one block says nothing"
        if math.isnan(self.p_holm):
            return "not asked beforehand"
        same = self.estimate.within(self.margin)
        if self.p_holm < LEVEL:
            word = "better" if self.estimate.mean * self.better > 0 else "worse"
            return f"{word} (within {self.margin:g})" if same else word
        return f"same within {self.margin:g}" if same else "not told apart"


def contrasted(
    a: tuple[str, Mapping[tuple[int, str], float]],
    b: tuple[str, Mapping[tuple[int, str], float]],
    margin: float,
    better: int,
) -> Contrast | None:
    """The difference over the blocks that both have; None where there are none, or no figure.

    Args:
        a: the name of a method, and its figure by block.
        b: of the one that it is compared with.
        margin: within which both count as the same.
        better: 1 where more is better, -1 where less is.
    """
    differences = {block: a[1][block] - b[1][block] for block in a[1] if block in b[1]}
    if not differences or not all(map(math.isfinite, differences.values())):
        return None
    estimate, parts = over_blocks(differences)
    p, exact = sign_flip(list(differences.values()))
    floor = floor_of_p(estimate.n)
    return Contrast(a[0], b[0], estimate, p, exact, floor, parts, margin, better)


def over_blocks(values: Mapping[tuple[int, str], float]) -> tuple[Estimate, Components | None]:
    """The mean over blocks; where seeds and orders are crossed completely, by their two-way error."""
    seeds, orders = sorted({s for s, _ in values}), sorted({o for _, o in values})
    if min(len(seeds), len(orders)) > 1 and len(values) == len(seeds) * len(orders):
        table = np.array([[values[seed, order] for order in orders] for seed in seeds])
        return crossed(table), variance_components(table)
    return estimated(list(values.values())), None
