"""The recipes by name: built in, installed, imported, or named as ``package.module:function``."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from holdfast.core.added import PARAMETER, part_texts
from holdfast.core.errors import unknown
from holdfast.core.grammar import arguments, fitted, type_hints
from holdfast.core.registry import Entry, Registry
from holdfast.recipes.adding import composable
from holdfast.recipes.method import Method
from holdfast.recipes.presets import Preset

Recipe = Callable[..., Method]
RECIPES: Registry[Recipe] = Registry("recipe", module="holdfast.recipes")
register = RECIPES.register


def make(text: str, preset: Preset | None = None, **parameters: object) -> Method:
    """The method of a recipe, which carries the recipe's name into reports.

    Args:
        text: its name, perhaps with settings: ``fnc2:tau=0.5``.
        preset: whose parameters the recipe has unless it is told otherwise.
        parameters: over those of the text; ``add`` names further parts (`holdfast.recipes.adding`).

    Raises:
        ConfigError: for an unknown recipe or parameter, with the nearest name; for a value of
            another type than the parameter has.

    >>> make("lwf:T=4").name
    'lwf'
    """
    entry, values = resolve(text, preset, **parameters)
    return replace(entry.value(**values), name=entry.name)


def resolve(
    text: str, preset: Preset | None = None, **parameters: object
) -> tuple[Entry[Recipe], dict[str, Any]]:
    """A recipe and the parameters it is called with; the arguments are those of `make`."""
    entry, rest = RECIPES.find(text)
    entry = replace(entry, value=composable(entry.value))
    where = f"recipe {entry.name}"
    known = inspect.signature(entry.value).parameters
    hints = type_hints(entry.value)
    for name in parameters:
        if name not in known:
            raise unknown(f"parameter of the {where}", name, known)
    values = dict(preset.parameters_of(entry.name)) if preset else {}
    values |= arguments(entry.value, rest, where)
    values |= {
        name: fitted(value, hints.get(name, Any), f"{where}: {name}")
        for name, value in parameters.items()
    }
    added = values.get(PARAMETER)
    if isinstance(added, str) and not part_texts(added):
        del values[PARAMETER]  # as if nobody had named it
    return entry, values


def full_parameters(
    text: str, preset: Preset | None = None, **parameters: object
) -> dict[str, Any]:
    """Every parameter of a recipe with its value, defaults too; the arguments are those of `make`."""
    entry, values = resolve(text, preset, **parameters)
    known = inspect.signature(entry.value).parameters.values()
    usual = {p.name: p.default for p in known if p.default is not p.empty}
    return {n: v for n, v in (usual | values).items() if n != PARAMETER or n in values}
