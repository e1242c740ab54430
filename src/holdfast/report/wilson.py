"""The uncertainty of a share that was counted."""

from __future__ import annotations

import math


def wilson(right: int, total: int, z: float = 1.959964) -> tuple[float, float]:
    """The interval of Wilson for a share of ``right`` in ``total``, by default of 95 %.

    (p + z^2/2n -+ z sqrt(p (1-p) / n + z^2/4n^2)) / (1 + z^2/n), p = right / n. It stays within
    0 and 1 and is sound for few examples and for shares near either end; (0, 1) for none.

    Args:
        right: how many.
        total: n, of how many.
        z: of the normal distribution.

    Source: Wilson, *Probable inference, the law of succession, and statistical inference*, JASA 1927

    >>> [round(end, 4) for end in wilson(8, 10)]
    [0.4902, 0.9433]
    >>> [round(end, 4) for end in wilson(10, 10)]
    [0.7225, 1.0]
    """
    if total < 1:
        return 0.0, 1.0
    p, square = right / total, z * z / total
    middle = p + square / 2
    half = z * math.sqrt(p * (1 - p) / total + square / (4 * total))
    low, high = (middle - half) / (1 + square), (middle + half) / (1 + square)
    return max(low, 0.0), min(high, 1.0)
