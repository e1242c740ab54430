"""What recipes took where nothing was asked, before it changed: stored models go on as they were made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

EDITION = 5  # of the recipes' defaults
FORMER: dict[int, dict[str, dict[str, Any]]] = {
    1: {
        "lwf_strict": {"decide": "gaussian"},
        "fnc2_strict": {"decide": "gaussian", "rotations": 0.0},
    },
    2: {
        "lwf_strict": {"rotations": 0.0, "gpm": 0.0},
        "fnc2_strict": {"gpm": 0.0},
        "efc": {"clip": 0.0},
        "adagauss": {"clip": 0.0},
        "gatf": {"clip": 0.0},
    },
    3: {
        "lwf_strict": {"decide": "gaussian:stages"},
        "fnc2_strict": {"decide": "gaussian:stages"},
    },
    4: {
        "adagauss": {"clip_over": "learner"},
        "gatf": {"clip_over": "learner"},
        "lwf_strict": {"decide": "gaussian:pyramid"},
        "fnc2_strict": {"decide": "gaussian:pyramid"},
    },
}


def as_made(recipe: str, parameters: Mapping[str, Any], edition: int) -> dict[str, Any]:
    """Parameters of a recipe with the defaults of their time, where those of now are others.

    Args:
        recipe: its name.
        parameters: that were asked for.
        edition: `EDITION` of that time.

    >>> as_made("lwf_strict", {"T": 3.0}, 2)
    {'decide': 'gaussian:stages', 'rotations': 0.0, 'gpm': 0.0, 'T': 3.0}
    >>> as_made("lwf_strict", {"T": 3.0}, EDITION)
    {'T': 3.0}
    """
    before = {}
    for later in range(EDITION - 1, edition - 1, -1):  # the older edition has the last word
        before |= FORMER.get(later, {}).get(recipe, {})
    return before | dict(parameters)
