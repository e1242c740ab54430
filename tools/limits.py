"""What the source may not have, and the exceptions that are left: a list that only ever shrinks.

``python tools/limits.py`` shows what is over a limit now; ``--lower`` takes out of
``tests/limits.json`` what has been mended since, and adds nothing.
"""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "holdfast"
LISTED = ROOT / "tests" / "limits.json"

FUNCTION_LINES = 40  # without the docstring
FILE_LINES = 250

# names that say nothing where output, result, targets, settings or stored would say what it is
VAGUE = {"said", "told", "found", "made", "held", "own", "given"}

Function = ast.FunctionDef | ast.AsyncFunctionDef
Counts = dict[str, dict[str, int]]  # by rule, then by place


def functions(tree: ast.AST) -> Iterator[Function]:
    """Every function of a file, methods and inner ones too."""
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def length(function: Function) -> int:
    """Lines of a function from its ``def`` on, without the docstring."""
    lines = (function.end_lineno or 0) - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function, clean=False) is not None:
        lines -= (first.end_lineno or 0) - first.lineno + 1
    return lines


def bound_names(tree: ast.AST) -> Iterator[str]:
    """Every name that a file binds: variables, arguments, attributes, functions and classes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, Function | ast.ClassDef):
            yield node.name


def excesses(source: Path = SOURCE) -> Counts:
    """What is over a limit, by rule and place, with its size."""
    counts: Counts = {"long functions": {}, "long files": {}, "vague names": {}, "homonyms": {}}
    for path in sorted(source.rglob("*.py")):
        place, text = path.relative_to(source).as_posix(), path.read_text()
        tree = ast.parse(text)
        lines = len(text.splitlines())
        if lines > FILE_LINES:
            counts["long files"][place] = lines
        vague = sum(name.strip("_").lower() in VAGUE for name in bound_names(tree))
        if vague:
            counts["vague names"][place] = vague
        for function in functions(tree):
            if length(function) > FUNCTION_LINES:
                counts["long functions"][f"{place}:{function.name}"] = length(function)
            if function.name == path.stem:
                counts["homonyms"][place] = counts["homonyms"].get(place, 0) + 1
    return counts


def news(now: Counts, listed: Counts) -> list[str]:
    """What is over a limit now and was not listed, or is larger than listed."""
    return [
        f"{rule}: {place} ({size}, {listed[rule].get(place, 0)} allowed)"
        for rule, places in now.items()
        for place, size in places.items()
        if size > listed[rule].get(place, 0)
    ]


def lowered(now: Counts, listed: Counts) -> Counts:
    """The list without what has been mended."""
    return {
        rule: {
            place: min(size, now[rule][place])
            for place, size in places.items()
            if place in now[rule]
        }
        for rule, places in listed.items()
    }


if __name__ == "__main__":
    now, listed = excesses(), json.loads(LISTED.read_text())
    if "--lower" in sys.argv[1:]:
        LISTED.write_text(json.dumps(lowered(now, listed), indent=2, sort_keys=True) + "\n")
    print("\n".join(news(now, listed)) or "nothing is over a limit that is not listed.")
