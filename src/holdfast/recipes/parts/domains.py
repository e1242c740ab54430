"""Parts about domains: flat minima, and heads and weights on which domains agree."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from holdfast.core.errors import ConfigError
from holdfast.loss.sam import SharpnessAware
from holdfast.recipes.method import Method
from holdfast.recipes.part import part


@part("sam")
def sam(rho: float = 0.05) -> Callable[[Method], Method]:
    """The new task's loss at the worst weights nearby: sharpness-aware minimisation, twice the cost.

    Args:
        rho: length of the step uphill.

    Source: Foret et al., Sharpness-aware minimization, ICLR 2021
    """

    def with_sam(method: Method) -> Method:
        if method.loss is None:
            raise ConfigError(
                f"the part sam needs a loss to flatten, and {method.name} trains nothing."
            )
        return replace(method, loss=SharpnessAware(method.loss, rho))

    return with_sam
