"""Recipes at a glance: read off their source, so that a list of them does not wait for torch."""

from __future__ import annotations

import ast
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import holdfast
from holdfast.core.registry import IMPORTED, Entry


def recipes_at_a_glance() -> list[Entry[Any]] | None:
    """Every recipe of the package with its docstring, in the order in which they are registered.

    None where the registry itself must be asked: it is loaded already, a module was named with
    ``--import``, a plugin is installed, or the source is not at hand.
    """
    folder = Path(str(holdfast.__file__)).parent / "recipes"
    plugins = [*entry_points(group="holdfast.recipes"), *entry_points(group="holdfast.recipe")]
    if "holdfast.recipes" in sys.modules or IMPORTED or plugins or not folder.is_dir():
        return None
    files = [file for file in sorted(folder.glob("*.py")) if file.stem != "__init__"]
    return [entry for file in files for entry in _entries(file)]


def _entries(file: Path) -> list[Entry[Any]]:
    """The functions of a file that stand under ``@register("name")``."""
    entries = []
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        for name in _names(node):
            about: Any = type(name, (), {"__doc__": ast.get_docstring(node)})  # type: ignore[arg-type]
            entries.append(Entry(name, about, f"holdfast.recipes.{file.stem}"))
    return entries


def _names(node: ast.stmt) -> list[str]:
    """Under which a statement registers a function; none for any other."""
    decorators = node.decorator_list if isinstance(node, ast.FunctionDef) else []
    calls = [d for d in decorators if isinstance(d, ast.Call) and isinstance(d.func, ast.Name)]
    return [ast.literal_eval(d.args[0]) for d in calls if d.func.id == "register"]  # type: ignore[union-attr]
