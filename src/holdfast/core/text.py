r"""Text that may hold anything, as a terminal can show it.

A class is named by a folder, a file by whoever made it: names may hold escape sequences that move
the cursor, and marks that turn the direction of what follows.
"""

from __future__ import annotations

import json
import re
import unicodedata
from functools import cache
from typing import Any

JOINERS = "\u200c\u200d"  # which letters and emoji need
KINDS = ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")  # controls, marks without a shape, surrogates, ...
ASCII_SAFE = re.compile(r"[ -~]*")


@cache
def unsafe(letter: str) -> bool:
    """Whether a terminal or a page would obey a character, or show nothing for it."""
    return letter not in JOINERS and unicodedata.category(letter) in KINDS


def printable(text: object, keep: str = "") -> str:
    r"""A text on one line, with what a terminal would obey as escapes.

    Args:
        text: anything with a text.
        keep: characters that stay, such as a newline where lines are printed.

    >>> printable("cat\x1b[31m"), printable("a\nb"), printable("a\u202eb"), printable("Käse 猫")
    ('cat\\x1b[31m', 'a\\nb', 'a\\u202eb', 'Käse 猫')
    """
    text = str(text)
    if ASCII_SAFE.fullmatch(text):
        return text
    return "".join(_escape(c) if unsafe(c) and c not in keep else c for c in text)


def _escape(letter: str) -> str:
    return letter.encode("unicode_escape", "backslashreplace").decode("ascii")


def json_text(data: Any, indent: int | None = None) -> str:
    r"""Data as JSON that is safe to print: readable letters, and escapes for what would be obeyed.

    >>> json_text({"class": "Käse\x1b\u202e"})
    '{"class": "Käse\\u001b\\u202e"}'
    """
    return json_escaped(json.dumps(data, ensure_ascii=False, indent=indent))


def json_escaped(text: str) -> str:
    """JSON text with the characters of its strings that would be obeyed as JSON escapes."""
    if ASCII_SAFE.fullmatch(text):
        return text
    return "".join(json.dumps(c)[1:-1] if unsafe(c) and c != "\n" else c for c in text)
