"""Methods whose weights a rule holds within what old tasks left free."""

from __future__ import annotations

from dataclasses import replace

from holdfast.anchor.rule import Rule
from holdfast.core.errors import ConfigError
from holdfast.recipes.method import Method


def within(method: Method, rule: Rule) -> Method:
    """The method with a rule among its anchors, and norms that stay: else the rule holds little.

    Args:
        method: any.
        rule: of subspaces, such as `holdfast.anchor.GPM`.

    Raises:
        ConfigError: for a method that has a rule of this kind.
    """
    kind = type(rule)
    if any(type(other) is kind for other in method.rules):
        raise ConfigError(
            f"the method has {kind.__name__} already: set its own parameter, or switch that off first."
        )
    return replace(method, anchors=[*method.anchors, rule], hold_norms="all")
