"""Parts that any recipe can be given: ``lwf_strict`` with ``--add elr:weight=3``.

A part is a function under ``@part("name")``, of settings that have defaults. What it returns is added to
the method: a term or a rule to its anchors; a function of a method makes another one, as a part
does that replaces the loss or the memory. Its settings and their types are the command line's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from holdfast.anchor.rule import Rule
from holdfast.core.errors import ConfigError
from holdfast.core.registry import Registry
from holdfast.loss.term import Objective
from holdfast.recipes.method import Method

Added = Objective | Rule | Callable[[Method], Method]
PARTS: Registry[Callable[..., Added]] = Registry("part", module="holdfast.recipes.parts")
part = PARTS.register


def with_parts(method: Method, texts: Sequence[str]) -> Method:
    """A method with further parts, in their order.

    Args:
        method: what they are added to.
        texts: of each its name, perhaps with settings: ``elr:weight=3``.

    Raises:
        ConfigError: for an unknown part or setting, with the nearest name; for one that is no part.
    """
    for text in texts:
        added = PARTS.build(text)
        if isinstance(added, (Objective, Rule)):
            method = replace(method, anchors=[*method.anchors, added])
        elif callable(added):
            method = added(method)
        else:
            raise ConfigError(
                f"the part '{text}' made a {type(added).__name__}: it must return a term, a rule, or a "
                "function from a method to a method."
            )
    return method
