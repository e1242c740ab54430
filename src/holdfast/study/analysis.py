"""From the figures of every arm and block to effects with intervals, tests and what could not be seen."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from holdfast.compare.contrast import MARGIN, Contrast, contrasted, over_blocks
from holdfast.compare.paired import Estimate, holm
from holdfast.study.design import Effect, Study
from holdfast.study.outcomes import OUTCOMES, PRIMARY

Block = tuple[int, str]
Values = Mapping[str, Mapping[Block, Mapping[str, float]]]  # by arm, block and outcome, as stored


@dataclass(frozen=True)
class Measured:
    """An effect and what its blocks say.

    Attributes:
        effect: that was named.
        contrast: on final Class-IL accuracy, in points; None where no block has all its arms.
        others: on the secondary outcomes, estimated and not tested.
    """

    effect: Effect
    contrast: Contrast | None
    others: Mapping[str, Estimate]

    @property
    def verdict(self) -> str:
        """What may be said of it."""
        if self.contrast is None:
            return "not measured"
        if not self.effect.asked:
            return "not asked beforehand"
        first, _, rest = self.contrast.verdict.partition(" ")
        word = {"better": "higher", "worse": "lower"}.get(first, first)
        return f"{word} {rest}".strip()


@dataclass(frozen=True)
class ArmRow:
    """An arm, and what its blocks say of it.

    Attributes:
        name: of it.
        means: of every outcome, as it is shown.
        difference: of final accuracy to the reference, paired; None for the reference.
    """

    name: str
    means: Mapping[str, Estimate]
    difference: Estimate | None


@dataclass(frozen=True)
class Analysis:
    """What the runs of a study say.

    Attributes:
        study: that was run.
        rows: an arm each, in the study's order; those without a run are left out.
        effects: in the study's order.
        values: what all this was made from.
        margin: of equivalence, in points.
        gradients: the length by which arms were matched, by arm; empty where none was.
        failed: names of the runs that failed, with their arms and errors.
    """

    study: Study
    rows: Sequence[ArmRow]
    effects: Sequence[Measured]
    values: Values
    margin: float
    gradients: Mapping[str, float] = field(default_factory=dict)
    failed: Sequence[tuple[str, str, str]] = ()

    @property
    def asked(self) -> list[Measured]:
        """The effects that were tested."""
        return [one for one in self.effects if one.effect.asked]

    @property
    def blocks(self) -> int:
        """Of the arm that has most."""
        return max((len(arm) for arm in self.values.values()), default=0)

    def row(self, name: str) -> ArmRow | None:
        """An arm's row."""
        return next((row for row in self.rows if row.name == name), None)


def analyse(
    study: Study,
    values: Values,
    margin: float = MARGIN,
    gradients: Mapping[str, float] | None = None,
    failed: Sequence[tuple[str, str, str]] = (),
) -> Analysis:
    """Effects by paired differences over blocks, with Holm over those that are tested (section 14).

    Args:
        study: what was asked.
        values: by arm, block and outcome, as stored; arms and blocks may be missing.
        margin: within which an effect counts as none, in points.
        gradients: the lengths by which arms were matched.
        failed: runs without a figure: name, arm and error.
    """
    effects = [measure(effect, values, margin, study.outcomes) for effect in study.effects]
    tested = [m for m in effects if m.effect.asked and m.contrast is not None]
    contrasts = [m.contrast for m in tested if m.contrast is not None]
    p_holm, flips = holm([c.estimate.p for c in contrasts]), holm([c.p_flip for c in contrasts])
    measured = {
        id(m): replace(m, contrast=replace(c, p_holm=p, flip_holm=flip))
        for m, c, p, flip in zip(tested, contrasts, p_holm, flips, strict=True)
    }
    effects = [measured.get(id(m), m) for m in effects]
    rows = [arm_row(arm.name, study, values) for arm in study.arms if values.get(arm.name)]
    return Analysis(study, rows, effects, values, margin, dict(gradients or {}), failed)


def measure(effect: Effect, values: Values, margin: float, outcomes: Sequence[str]) -> Measured:
    """An effect over the blocks that have all of its arms."""
    above, below = combined(effect, values, PRIMARY)
    better = OUTCOMES[PRIMARY].better
    contrast = contrasted((effect.name, above), ("", below), margin, better) if above else None
    others = {}
    for name in outcomes:
        up, down = combined(effect, values, name)
        differences = {b: up[b] - down[b] for b in up}
        if differences and all(map(math.isfinite, differences.values())):
            others[name] = over_blocks(differences)[0]
    return Measured(effect, contrast, others)


def combined(
    effect: Effect, values: Values, outcome: str
) -> tuple[dict[Block, float], dict[Block, float]]:
    """Of each block that has all arms, the sum over those of positive and over those of negative weight."""
    scale = OUTCOMES[outcome].scale
    arms = [values.get(name, {}) for name in effect.weights]
    blocks = [b for b in arms[0] if all(b in arm for arm in arms)]

    def side(sign: int, block: Block) -> float:
        return sum(
            abs(w) * scale * values[name][block][outcome]
            for name, w in effect.weights.items()
            if w * sign > 0
        )

    return {b: side(1, b) for b in blocks}, {b: side(-1, b) for b in blocks}


def arm_row(name: str, study: Study, values: Values) -> ArmRow:
    """An arm's means over its own blocks, and its difference to the reference over those of both."""
    means = {}
    for outcome in (PRIMARY, *study.outcomes):
        scale = OUTCOMES[outcome].scale
        means[outcome] = over_blocks({b: scale * v[outcome] for b, v in values[name].items()})[0]
    base = values.get(study.reference, {})
    shared = [b for b in values[name] if b in base]
    if name == study.reference or not shared:
        return ArmRow(name, means, None)
    scale = OUTCOMES[PRIMARY].scale
    differences = {b: scale * (values[name][b][PRIMARY] - base[b][PRIMARY]) for b in shared}
    return ArmRow(name, means, over_blocks(differences)[0])
