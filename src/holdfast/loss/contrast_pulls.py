"""Which of FNC2's two pulls act on an anchor (docs/theory.md, section 3)."""

from __future__ import annotations

from dataclasses import dataclass

from holdfast.core.errors import ConfigError
from holdfast.loss.checks import require_gamma


@dataclass(frozen=True)
class Pulls:
    """What pulls an anchor: rows of its class, its prototype, or both; FNC2 has both.

    A pull that is left out is left out of the sum and of its count; without the prototype's, the own
    prototype is not among the contrasts either. Without the rows', they stay contrasts: the term alone
    is gone. An anchor that nothing pulls is left out of the mean.

    Attributes:
        pairs: whether rows of its class do (softness).
        prototype: whether its prototype does (hardness).
        gamma: focal exponent of the prototype's pull; None takes that of the pairs.

    Raises:
        ConfigError: if nothing pulls, or for a negative exponent.
    """

    pairs: bool = True
    prototype: bool = True
    gamma: float | None = None

    def __post_init__(self):
        if not (self.pairs or self.prototype):
            raise ConfigError("an anchor is pulled by pairs, by its prototype, or by both.")
        if self.gamma is not None:
            require_gamma(self.gamma)


BOTH = Pulls()
