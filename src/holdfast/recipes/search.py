"""Where a recipe's parameters are looked for when it is tuned: annotations on its signature.

A parameter ``tau: Annotated[float, Search(0.05, 1.0, log=True)] = 0.1`` is tuned between these ends;
one without such an annotation keeps its value. `Weight`, `Prior` and the others are such types.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, get_type_hints

from holdfast.core.errors import ConfigError


@dataclass(frozen=True)
class Search:
    """The ends between which a number is looked for.

    Attributes:
        low, high: the ends.
        log: whether every factor counts alike, and not every difference.

    Raises:
        ConfigError: for ends that are none.
    """

    low: float
    high: float
    log: bool = False

    def __post_init__(self):
        if not (self.low < self.high and math.isfinite(self.high - self.low)):
            raise ConfigError(f"a search goes from a lower to a higher number, not {self}.")
        if self.log and self.low <= 0:
            raise ConfigError(f"a logarithmic search begins above 0, not at {self.low}.")


Weight = Annotated[float, Search(0.1, 30.0, log=True)]  # of a distillation
Prior = Annotated[float, Search(0.1, 1e5, log=True)]  # of a quadratic around weights
Softness = Annotated[float, Search(1.0, 30.0, log=True)]  # temperature of answers
Contrast = Annotated[float, Search(0.05, 1.0, log=True)]  # temperature of a contrast
Focus = Annotated[float, Search(0.0, 4.0)]  # a focal exponent


def searched(recipe: Callable[..., Any]) -> dict[str, Search]:
    """Of each parameter that has one, where it is looked for.

    >>> def mine(weight: Weight = 1.0, T: float = 2.0): ...
    >>> searched(mine)
    {'weight': Search(low=0.1, high=30.0, log=True)}
    """
    hints = get_type_hints(getattr(recipe, "func", recipe), include_extras=True)
    return {
        name: mark
        for name, hint in hints.items()
        for mark in getattr(hint, "__metadata__", ())
        if isinstance(mark, Search)
    }
