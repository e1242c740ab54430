"""Parts that any recipe can be given: ``lwf_strict`` with ``--add elr:weight=3``.

A part is a function under ``@part("name")``, of settings that have defaults. What it returns is added to
the method: a term or a rule to its anchors; a function of a method makes another one, as a part
does that replaces the loss or the memory. Its settings and their types are the command line's.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, cast

from holdfast.anchor.rule import Rule
from holdfast.core.added import PARAMETER, part_texts
from holdfast.core.errors import ConfigError
from holdfast.core.registry import Registry
from holdfast.loss.term import Objective
from holdfast.recipes.method import Method

Added = Objective | Rule | Callable[[Method], Method]
PARTS: Registry[Callable[..., Added]] = Registry("part", module="holdfast.recipes.parts")
part = PARTS.register


HELP = "further parts, as 'elr:weight=3+sam' (holdfast parts)."


def with_parts(method: Method, parts: str | Sequence[str]) -> Method:
    """A method with further parts, in their order.

    Args:
        method: what they are added to.
        parts: their names, joined by ``+`` or in a list, perhaps with settings: ``elr:weight=3+sam``;
            empty or ``none`` for none.

    Raises:
        ConfigError: for an unknown part or setting, with the nearest name; for one that is no part.
    """
    texts = [parts] if isinstance(parts, str) else parts
    for piece in (piece for text in texts for piece in part_texts(text)):
        added: object = PARTS.build(piece)
        if isinstance(added, (Objective, Rule)):
            method = replace(method, anchors=[*method.anchors, added])
        elif callable(added):
            method = cast("Method", added(method))
        else:
            raise ConfigError(
                f"the part '{piece}' made a {type(added).__name__}: it must return a term, a rule, or a "
                "function from a method to a method."
            )
    return method


def composable(recipe: Callable[..., Method]) -> Callable[..., Method]:
    """A recipe with one parameter more, ``add``: the parts that it is given; one that has it stays.

    Args:
        recipe: any.
    """
    signature = inspect.signature(recipe)
    if PARAMETER in signature.parameters:
        return recipe

    @functools.wraps(recipe)
    def composed(*values: Any, add: str = "", **settings: Any) -> Method:
        method = recipe(*values, **settings)  # which a part's error names
        return with_parts(replace(method, name=getattr(recipe, "__name__", method.name)), add)

    more = inspect.Parameter(PARAMETER, inspect.Parameter.KEYWORD_ONLY, default="", annotation=str)
    rest = list(signature.parameters.values())
    ends = [p for p in rest if p.kind is p.VAR_KEYWORD]
    columns = [*(p for p in rest if p not in ends), more, *ends]
    composed.__signature__ = signature.replace(parameters=columns)  # type: ignore[attr-defined]
    composed.__annotations__ = {**getattr(recipe, "__annotations__", {}), PARAMETER: str}
    return composed
