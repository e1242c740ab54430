"""A figure that cannot be had: NaN, with the reason."""

from __future__ import annotations

import math


class Missing(float):
    """NaN that says why: a number from too few rows would be believed.

    Attributes:
        reason: one clause, without a full stop.

    >>> value = Missing("a class has one row")
    >>> value != value, value.reason
    (True, 'a class has one row')
    """

    reason: str

    def __new__(cls, reason: str) -> Missing:
        """NaN with a reason."""
        value = super().__new__(cls, math.nan)
        value.reason = reason
        return value

    def __reduce__(self) -> tuple[type[Missing], tuple[str]]:
        return Missing, (self.reason,)


def reason_of(value: float) -> str:
    """Why a figure is missing; empty for a number.

    Args:
        value: a figure; NaN without a reason gets a general one.

    >>> reason_of(1.0), reason_of(Missing("one class")), reason_of(float("nan"))
    ('', 'one class', 'it is not defined for these rows')
    """
    if isinstance(value, Missing):
        return value.reason
    return "" if math.isfinite(value) else "it is not defined for these rows"
