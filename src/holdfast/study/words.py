"""The paragraph of a study, made from its figures alone."""

from __future__ import annotations

import math
from collections.abc import Sequence

from holdfast.compare.contrast import LEVEL
from holdfast.compare.paired import floor_of_p
from holdfast.compare.shown import chance, difference, number, with_interval
from holdfast.study.analysis import Analysis, Measured
from holdfast.study.outcomes import PRIMARY
from holdfast.study.sizes import Size


def paragraph(analysis: Analysis, size: Size) -> list[str]:
    """Sentences: the reference, what was found, what is as surely small, what cannot be told apart."""
    base = analysis.row(analysis.study.reference)
    sentences = []
    if base is not None:
        mean = base.means[PRIMARY]
        shown = with_interval(mean.mean, mean.half_width())
        sentences.append(f"Over {mean.n} blocks '{base.name}' ends at {shown} % Class-IL accuracy.")
    groups: dict[str, list[Measured]] = {}
    for one in analysis.asked:
        groups.setdefault(_kind(one), []).append(one)
    sentences += _apart_from_zero(groups.get("found", []), len(analysis.asked))
    sentences += _small(groups.get("same", []), analysis.margin)
    sentences += _open(groups.get("open", []))
    sentences += _signs(analysis)
    missing = groups.get("none", [])
    if missing:
        names = ", ".join(one.effect.name for one in missing)
        sentences.append(f"Not measured, because no block has all the runs: {names}.")
    return [
        *sentences,
        *analysis.study.words(analysis),
        *_failures(analysis),
        f"Size: {size.words}.",
    ]


def _kind(one: Measured) -> str:
    if one.contrast is None:
        return "none"
    if one.contrast.p_holm < LEVEL:
        return "found"
    return "same" if one.verdict.startswith("same") else "open"


def _apart_from_zero(some: Sequence[Measured], family: int) -> list[str]:
    if not some:
        return [f"None of the {family} contrasts that were named beforehand is told from 0."]
    parts = [
        f"{one.effect.name} {difference(one.contrast)} points (p {chance(one.contrast.p_holm)})"
        for one in some
        if one.contrast is not None
    ]
    return [f"Found (p by Holm over {family} contrasts named beforehand): {'; '.join(parts)}."]


def _small(some: Sequence[Measured], margin: float) -> list[str]:
    if not some:
        return []
    return [f"Surely within {margin:g} points of 0: {', '.join(one.effect.name for one in some)}."]


def _open(some: Sequence[Measured]) -> list[str]:
    parts = [
        f"{one.effect.name} {difference(one.contrast)} (below {number(one.contrast.estimate.detectable)} "
        "not visible)"
        for one in some
        if one.contrast is not None
    ]
    if not parts:
        return []
    return [
        f"Not told apart, which is no finding that they are the same: {'; '.join(parts)}; a true effect "
        "below the figure in brackets would be missed more than one time in five, even if it alone were "
        "asked."
    ]


def _signs(analysis: Analysis) -> list[str]:
    """What the sign flips could not say at all, with so many contrasts."""
    measured = [one.contrast for one in analysis.asked if one.contrast is not None]
    if not measured:
        return []
    blocks = min(c.estimate.n for c in measured)
    floor = floor_of_p(blocks) * len(measured)
    if floor < LEVEL or not math.isfinite(floor):
        return []
    return [
        f"Sign flips over {blocks} blocks cannot pass Holm's correction over {len(measured)} contrasts "
        f"(their least p is then {chance(min(floor, 1.0))}): the t test alone decides here."
    ]


def _failures(analysis: Analysis) -> list[str]:
    if not analysis.failed:
        return []
    arms = sorted({arm for _, arm, _ in analysis.failed})
    runs = len(analysis.failed)
    return [
        f"{runs} run{'s' * (runs != 1)} failed, of: {', '.join(arms)}; what they belong to is over the "
        "other blocks."
    ]
