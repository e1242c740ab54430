"""In place of the cross-entropy: what a part does that changes how new rows are asked."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

from holdfast.core.errors import ConfigError
from holdfast.loss.classify import CrossEntropy
from holdfast.loss.term import Objective, Term
from holdfast.recipes.method import Method


def in_place_of_cross_entropy(
    name: str, make: Callable[[CrossEntropy], Term], everywhere: bool = False
) -> Callable[[Method], Method]:
    """A part: a method with another term wherever it asks `CrossEntropy` of its batch.

    Args:
        name: of the part, for the error.
        make: the other term, from the cross-entropy that it replaces.
        everywhere: whether also where it asks it of rows that a memory drew apart.

    Returns:
        a function of a method, which raises ConfigError for one without such a cross-entropy.
    """

    def swapped(method: Method) -> Method:
        copied = copy.deepcopy(method)
        done: dict[CrossEntropy, Term] = {}

        def other(term: object) -> Term | None:
            if type(term) is not CrossEntropy or not (everywhere or term.on == "batch"):
                return None
            return done.setdefault(term, make(term))

        for whole in copied.objectives:
            _inside(whole, other)
        loss = other(copied.loss) or copied.loss
        anchors = [other(anchor) or anchor for anchor in copied.anchors]
        if not done:
            raise ConfigError(
                f"the part {name} stands in place of a method's cross-entropy, and {method.name} asks "
                "none of its batch, or another part stands there already: use a recipe that does, such as "
                "lwf_strict."
            )
        return replace(copied, loss=loss, anchors=anchors)

    return swapped


def _inside(whole: Objective, other: Callable[[object], Term | None]) -> None:
    """Put other terms in the place of those that an objective is made of."""
    for module in list(whole.modules()):
        for key, child in list(module._modules.items()):
            term = other(child)
            if term is not None:
                setattr(module, key, term)
