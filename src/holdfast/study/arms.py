"""Arms of a crossing."""

from __future__ import annotations

from dataclasses import replace

from holdfast.study.design import Arm, Match
from holdfast.study.factors import Crossing


def arms_of(crossing: Crossing, recipe: str = "fnc2", match: Match | None = None) -> list[Arm]:
    """An arm for every combination; all but the one that they are matched to have the match."""
    arms = [Arm(crossing.name(p), recipe, crossing.parameters(p)) for p in crossing.places]
    return [replace(arm, match=match) if match else arm for arm in arms]
