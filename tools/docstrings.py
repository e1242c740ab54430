"""Docstrings as Markdown: examples become blocks of code, and stars of formulas stay stars."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import griffe
from markdown.extensions.toc import slugify

EXAMPLE = re.compile(r"^( *)>>> .*(?:\n\1\S.*)*", re.M)
PAIR = re.compile(r"^( +)(\w+), (\w+): (.*)$", re.M)
EMPHASIS = re.compile(r"`[^`]*`|(?<![\w*])\*(?=\w)[^*]+?(?<=[\w.?!)])\*(?!\w)")


THEORY = Path(__file__).parents[1] / "docs" / "theory.md"
SECTION = re.compile(r"docs/theory\.md,\s+section\s+(\d+)")
SECTIONS = {
    number: slugify(f"{number}. {title}", "-")
    for number, title in re.findall(r"^## (\d+)\. (.*)$", THEORY.read_text(), re.M)
}


def as_markdown(text: str) -> str:
    r"""A docstring with its examples fenced and its other stars escaped.

    >>> print(as_markdown("p* log(p*_k), *Co2L* and `a * b`"))
    p\* log(p\*_k), *Co2L* and `a * b`
    """
    text = PAIR.sub(r"\1\2: \4\n\1\3: \4", text)  # two parameters that share a description
    text = SECTION.sub(lambda m: f"[theory, section {m[1]}][{SECTIONS[m[1]]}]", text)
    pieces, end = [], 0
    for example in EXAMPLE.finditer(text):
        pieces.append(escaped(text[end : example.start()]))
        block = re.sub(rf"^{example[1]}", "", example[0], flags=re.M)
        pieces.append(f"\n```python\n{block}\n```\n")
        end = example.end()
    return "".join([*pieces, escaped(text[end:])])


def escaped(text: str) -> str:
    """Text whose stars are stars, but where they mark emphasis or stand in code."""
    pieces, end = [], 0
    for kept in EMPHASIS.finditer(text):
        pieces += [text[end : kept.start()].replace("*", r"\*"), kept[0]]
        end = kept.end()
    return "".join([*pieces, text[end:].replace("*", r"\*")])


class Docstrings(griffe.Extension):
    """Rewrites each docstring before it is parsed."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Called for every module, class, function and attribute with what was read of it."""
        if obj.docstring is not None:
            obj.docstring.value = as_markdown(obj.docstring.value)
