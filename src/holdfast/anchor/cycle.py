"""CycleDistillation: two trained maps between past and present features, each held to undo the other."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from holdfast.anchor.feature import LEAST_SPREAD, Space, feature_distillation
from holdfast.anchor.projected import ProjectedDistillation
from holdfast.core.errors import ConfigError
from holdfast.core.numerics import at_least_float32
from holdfast.core.step import Part, Step
from holdfast.learner.feature_map import FeatureMap, MapKind

Map = Callable[[Tensor], Tensor]
ROWS = 128  # of a batch whose pairs are compared


def cycle_distillation(
    now: Float[Tensor, "n f"],
    past: Float[Tensor, "n f"],
    there: Map,
    back: Map,
    cycle: float = 0.4,
    pairs: float = 0.01,
    spread: float | None = None,
) -> Float[Tensor, ""]:
    """Two maps that each undo the other, A from past to present features and D back.

    |D h - h*| + |A h* - [h]| + cycle (|A [D h] - [h]| + |D [A h*] - h*|)
    + pairs (P(A h*, [h]) + P(D h, h*))

    |a - b| is `feature_distillation` of a from b, P the mean squared difference of the cosines of all
    pairs of the first 128 rows, and [.] lets no gradient through: only |D h - h*| and P(D h, h*) reach
    the network, the rest trains the maps.

    Args:
        now: (N, f) features h of the learner.
        past: (N, f) those of the past network, h*.
        there: A, past to present.
        back: D, present to past.
        cycle: weight of the two ways around.
        pairs: weight of the cosines.
        spread: as of `feature_distillation`.

    Source: docs/theory.md, section 9; GATF, ECCV 2026
    """
    here, old = now.detach(), past.detach()
    forth, undone = there(old), back(now)

    def gap(a: Tensor, b: Tensor) -> Tensor:
        return feature_distillation(a, b.to(a), spread=spread)

    value = gap(undone, old) + gap(forth, here)
    if cycle:
        around = gap(there(undone.detach()), here) + gap(back(forth.detach()), old)
        value = value + cycle * around
    if pairs:
        value = value + pairs * (_cosines_apart(forth, here) + _cosines_apart(undone, old))
    return value


def _cosines_apart(a: Tensor, b: Tensor) -> Tensor:
    """The mean squared difference of cosines; rows much shorter than those of b count as so long."""
    a, b = at_least_float32(a[:ROWS]), at_least_float32(b[:ROWS])
    least = LEAST_SPREAD * b.square().sum(1).mean().sqrt().clamp_min(1e-12)
    x, y = (z / torch.maximum(z.norm(dim=1, keepdim=True), least) for z in (a, b.to(a)))
    return (x @ x.T - y @ y.T).square().mean()


class CycleDistillation(ProjectedDistillation):
    """`cycle_distillation`: `ProjectedDistillation` with a second map, from past features to new ones.

    Both maps live for one task.

    Args:
        cycle: weight of the two ways around, beside the two ways; published 2 beside 5.
        pairs: weight of the cosines of pairs; published 0.05 beside 5.
        kind: of both maps: ``linear`` or ``mlp``.
        times: hidden units of ``mlp``, as a multiple of the width.
        of: ``features`` or ``embedding``.
        on: the part it is asked of.

    Raises:
        ConfigError: for a negative weight, an unknown kind or space.

    Source: GATF, ECCV 2026
    """

    label = "cycle"

    def __init__(
        self,
        cycle: float = 0.4,
        pairs: float = 0.01,
        kind: MapKind = "mlp",
        times: int = 4,
        of: Space = "features",
        on: str = "batch",
    ):
        super().__init__(kind, times, "square", of, on)
        if not (cycle >= 0 and pairs >= 0):
            raise ConfigError(
                f"the weights of a cycle must be at least 0, not cycle={cycle} and pairs={pairs}."
            )
        self.cycle, self.pairs = cycle, pairs
        self.there = FeatureMap(kind, times)

    def value(self, part: Part, step: Step) -> Tensor:
        """The mean over the part's rows."""
        now, past = getattr(part.out, self.of), getattr(part.past, self.of)
        maps = (self.there, self.back)
        return cycle_distillation(now, past, *maps, self.cycle, self.pairs, self.spread)
