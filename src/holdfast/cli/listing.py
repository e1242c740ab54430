"""``holdfast recipes``, ``holdfast readouts``, ...: the parts of a kind, a line each, with their origin."""

from __future__ import annotations

import inspect
import sys
import warnings
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from functools import partial
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from holdfast.core.registry import REGISTRIES, Entry
from holdfast.core.text import json_text, printable


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
    if as_json:
        parts = [
            {"name": e.name, "about": _about(e).plain, "builtin": e.builtin, "origin": e.origin}
            for e in entries
        ]
        print(json_text({plural: parts}, indent=2))  # noqa: T201
        for problem in problems:
            print(f"warning: {printable(problem.message)}", file=sys.stderr)  # noqa: T201
        return 0
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(ratio=1)
    table.add_column(style="dim", no_wrap=True)
    for entry in entries:
        origin = "" if entry.builtin else entry.origin
        table.add_row(Text(entry.name), _about(entry), Text(origin))
    console.print(table)
    for problem in problems:
        console.print(f"warning: {problem.message}", style="yellow", markup=False)
    hints = {"recipes": "Their parameters: holdfast run RECIPE --help. "}
    console.print(
        f"{hints.get(plural, '')}Your own: --import MODULE, or package.module:name in place of a name.",
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


def _about(entry: Entry) -> Text:
    """The first line of the docstring, and the source it names."""
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
    return lines
