"""What further parts a recipe is given, as text: read where nothing is built, as when runs are compared."""

from __future__ import annotations

import re

from holdfast.core.errors import ConfigError
from holdfast.core.grammar import bare, pieces

PARAMETER = "add"  # of every recipe: the parts that it is given


def part_texts(text: str) -> list[str]:
    """The parts of a text, each with its settings; a plus before a digit is a number's.

    >>> part_texts("elr:weight=1e+1+sam"), part_texts("none")
    (['elr:weight=1e+1', 'sam'], [])

    Raises:
        ConfigError: for parentheses that do not match, or a plus with nothing beside it.
    """
    if text.strip() in ("", "none"):
        return []
    parts = [""]
    for before, piece in pieces(text, "+"):
        if before and re.match(r"\d", piece):
            parts[-1] += before + piece
        else:
            parts.append(bare(piece.strip()))
    if not all(parts[1:]):
        raise ConfigError(f"'{text}' has a plus with no part beside it: write part+part.")
    return parts[1:]
