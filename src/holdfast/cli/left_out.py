"""Left out: files that were not read, and why."""

from __future__ import annotations

from collections.abc import Sequence

from rich.markup import escape

from holdfast.core.text import printable

SHOWN = 10  # skipped files that are listed


def skipped(files: Sequence[Sequence[str]]) -> str:
    """How many files were left out, and which.

    Args:
        files: name and reason of each.
    """
    listed = "".join(
        f"\n  {escape(printable(name))}: {escape(printable(why))}" for name, why in files[:SHOWN]
    )
    more = f"\n  and {len(files) - SHOWN} more" if len(files) > SHOWN else ""
    return f"{len(files)} file{'s' * (len(files) != 1)} skipped:{listed}{more}"
