"""How a drift map does on classes that it never saw, which is what it is used for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor

from holdfast.statistics.maps import Drift

FEWEST = 10  # inputs; with fewer, how old inputs moved is not guessed
LEFT_OUT = 5  # groups of classes that are left out in turn

Fit = Callable[[Tensor, Tensor], Callable[..., Drift]]


def class_forecast(
    past: Float[Tensor, "n f"],
    now: Float[Tensor, "n f"],
    y: Int[Tensor, " n"],
    make: Fit,
    setting: Any,
) -> float | None:
    """How a map of some classes does on others: the share of their movement that it leaves, squared.

    The classes are left out in at most `LEFT_OUT` groups, each predicted by the map of the others. That is
    what a map is used for: to move classes that it never saw.

    Args:
        past: features by the network before the task.
        now: features by the network after it.
        y: classes of the inputs.
        make: fits with a setting, as those of `FITS` do.
        setting: with which it is fitted.

    Returns:
        None with one class, or where too few inputs would be left.
    """
    classes, place = y.unique(return_inverse=True)
    if len(classes) < 2:
        return None
    left = total = 0.0
    for group in range(min(LEFT_OUT, len(classes))):
        out = place % LEFT_OUT == group
        if int((~out).sum()) < FEWEST:
            return None
        drift = make(past[~out], (now - past)[~out])(setting)
        left += float(((now[out] - drift(past[out])) ** 2).sum())
        total += float(((now - past)[out] ** 2).sum())
    return left / total if total else None
