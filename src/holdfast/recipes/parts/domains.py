"""Parts about domains: flat minima, and heads and weights on which domains agree."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated

from holdfast.anchor import DomainGradients, DomainSensitive, HeadAlignment, Quadratic
from holdfast.anchor.alignment import Form
from holdfast.core.errors import ConfigError
from holdfast.loss.sam import SharpnessAware
from holdfast.loss.term import Objective
from holdfast.recipes.adding import part
from holdfast.recipes.method import Method
from holdfast.recipes.search import Search, Weight

Mild = Annotated[float, Search(1e-4, 1.0, log=True)]  # of an alignment


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


@part("head_alignment")
def head_alignment(weight: Mild = 5e-3, stored: bool = True) -> Objective:
    """Domains have one mean gradient by the head: within a step, and with the stored one of past domains.

    Args:
        weight: of the squared distance.
        stored: whether past domains are kept as statistics.

    Source: the gradient's half of Hemati et al., ICCV 2023
    """
    return HeadAlignment(weight, 0.0, stored=stored)


@part("hessian_alignment")
def hessian_alignment(
    weight: Mild = 1e-3, gradient: Mild = 5e-3, form: Form = "diagonal", stored: bool = True
) -> Objective:
    """Domains have one curvature by the head, and one gradient.

    Args:
        weight: of the curvature's squared distance; published 1e-3, and 1e-4 for the product.
        gradient: weight of the gradient's.
        form: the diagonal of the Hessian, or its product with the gradient.
        stored: whether past domains are kept as statistics.

    Source: Hemati et al., Understanding Hessian alignment for domain generalization, ICCV 2023
    """
    return HeadAlignment(gradient, weight, form, stored)


@part("domain_sensitive")
def domain_sensitive(
    weight: Weight = 1.0, every: int = 5, warm: float = 0.5
) -> Callable[[Method], Method]:
    """Weights on whose gradient domains disagree stay where they were; not verified against the source.

    Args:
        weight: of the quadratic.
        every: steps from one look at the domains' gradients to the next.
        warm: the share of a task's epochs in which they are looked at.

    Source: after Han et al., arXiv 2601.19394; formula and constants are ours
    """

    def with_anchor(method: Method) -> Method:
        rule = DomainGradients(every, warm)
        anchor = Quadratic(DomainSensitive(rule), weight, decay=0.0)
        return replace(method, anchors=[*method.anchors, anchor, rule])

    return with_anchor
