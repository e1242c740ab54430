"""``holdfast backbones``: the networks by name, and pretrained ones worth a try."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from rich.console import Console

from holdfast.cli.listing import list_parts
from holdfast.core.errors import ConfigError
from holdfast.core.registry import REGISTRIES
from holdfast.learner.suggested import SUGGESTIONS, Suggestion

NOTE = (
    "MB: of float32 weights. ImageNet: published; linear is a linear classifier on frozen features, "
    "top-1 the network's own head. - could not be confirmed. Names with / are of the Hugging Face hub."
)


def backbones_command(arguments: Sequence[str], console: Console) -> int:
    """Print registered and suggested backbones, as tables or with --json.

    Args:
        arguments: ``--json`` or nothing.
        console: to print on.

    Raises:
        ConfigError: for any other argument.
    """
    strange = [word for word in arguments if word not in ("--json", "-h", "--help")]
    if strange:
        raise ConfigError(f"holdfast backbones takes --json alone, not '{strange[0]}'.")
    if "--json" in arguments:
        parts = [
            {"name": e.name, "about": e.summary, "origin": e.origin}
            for e in REGISTRIES["backbones"].entries()
        ]
        suggested = [{k: v if v else None for k, v in asdict(s).items()} for s in SUGGESTIONS]
        print(json.dumps({"registered": parts, "suggested": suggested}, indent=2))  # noqa: T201
        return 0
    list_parts("backbones", console)
    for line in _lines():
        console.print(line, soft_wrap=True, markup=False)
    console.print(NOTE, style="dim", markup=False)
    return 0


def _lines() -> list[str]:
    """The table, a line each, which no terminal cuts."""
    rows = [
        ("pretrained", "licence", "pixels", "width", "MB", "ImageNet"),
        *map(_cells, SUGGESTIONS),
    ]
    widths = [max(map(len, column)) for column in zip(*rows)]
    return ["  ".join(c.ljust(w) for c, w in zip(row, widths)).rstrip() for row in rows]


def _cells(one: Suggestion) -> tuple[str, ...]:
    accuracy = f"{one.accuracy} {one.measure}" if one.accuracy else "-"
    numbers = (str(n or "-") for n in (one.size, one.width, one.megabytes))
    return (one.name, one.licence or "-", *numbers, accuracy)
