"""``holdfast recipes``, ``holdfast readouts``, ...: the parts of a kind, a line each, with their origin."""

from __future__ import annotations

import inspect
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass
from functools import partial
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from holdfast.core.registry import REGISTRIES, Entry
from holdfast.core.text import json_text, printable

HINTS = {
    "recipes": "Their parameters: holdfast run RECIPE --help. ",
    "parts": "Give them to any recipe: holdfast run RECIPE --add part:setting=value+part. ",
}


def list_parts(
    plural: str,
    console: Console,
    as_json: bool = False,
    known: Sequence[Entry[Any]] | None = None,
) -> int:
    """Print every part of a kind: its name, what it is, and where it is from.

    Args:
        plural: of the kind.
        console: for a table; warnings of a JSON object go to stderr.
        as_json: print an object in place of the table.
        known: the parts, where they need not be looked up.
    """
    with warnings.catch_warnings(record=True) as problems:
        warnings.simplefilter("always")
        entries = REGISTRIES[plural].entries() if known is None else known
    shown = plural == "parts"  # whose settings no command's help shows
    if as_json:
        print(json_text({plural: [_data(entry, shown) for entry in entries]}, indent=2))  # noqa: T201
        for problem in problems:
            print(f"warning: {printable(problem.message)}", file=sys.stderr)  # noqa: T201
        return 0
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(ratio=1)
    table.add_column(style="dim", no_wrap=True)
    for entry in entries:
        origin = "" if entry.builtin else entry.origin
        table.add_row(Text(entry.name), _about(entry, shown), Text(origin))
    console.print(table)
    for problem in problems:
        console.print(f"warning: {problem.message}", style="yellow", markup=False)
    console.print(
        f"{HINTS.get(plural, '')}Your own: --import MODULE, or package.module:name in place of a name.",
        style="dim",
        markup=False,
    )
    return 0


def _changed(value: Any) -> str:
    """A value's settings that differ from their defaults."""
    settings = {f.name: getattr(value, f.name) for f in fields(value)}
    usual = {f.name: f.default for f in fields(value)}
    changed = [f"{name}={v}" for name, v in settings.items() if v != usual[name]]
    return ", ".join(changed) or ", ".join(f"{name}={v}" for name, v in settings.items())


def _data(entry: Entry[Any], settings: bool) -> dict[str, Any]:
    """What is said of a part, as JSON data."""
    about = _about(entry, settings).plain
    return {"name": entry.name, "about": about, "builtin": entry.builtin, "origin": entry.origin}


def _about(entry: Entry[Any], settings: bool) -> Text:
    """The first line of the docstring, the source it names, and perhaps the settings."""
    value = entry.value
    if is_dataclass(value) and not isinstance(value, type):
        return Text(_changed(value))
    target = getattr(value, "func", value)
    doc = inspect.getdoc(target if hasattr(target, "__qualname__") else type(target))
    source = " ".join((doc or "").partition("Source:")[2].split())
    lines = Text((doc or "").partition("\n")[0])
    if isinstance(value, partial):
        named = (f"{name}={setting}" for name, setting in value.keywords.items())
        lines.append(f" With {', '.join((*map(str, value.args), *named))}.")
    if source:
        lines.append(f"\n{source}", style="dim")
    if settings and inspect.signature(value).parameters:
        lines.append(f"\n{settings_of(value)}", style="dim")
    return lines


def settings_of(function: Callable[..., Any]) -> str:
    """The settings of a part with their defaults, as they are written after its name.

    >>> def mine(weight: float = 1.0, T: int = 2): ...
    >>> settings_of(mine)
    'weight=1.0:T=2'
    """
    parameters = inspect.signature(function).parameters.values()
    return ":".join(f"{p.name}={'' if p.default is p.empty else p.default}" for p in parameters)
