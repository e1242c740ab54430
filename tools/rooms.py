"""The map of the rooms in CONTRIBUTING.md, from the order that tests/test_structure.py keeps.

``python tools/rooms.py`` writes it anew; each line is the first sentence of a room's docstring.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "holdfast"
GUIDE = ROOT / "CONTRIBUTING.md"
MAP = re.compile(r"(?<=<!-- rooms -->\n).*?(?=<!-- /rooms -->)", re.S)


def order() -> list[str]:
    """The rooms as tests/test_structure.py orders them: none imports one that stands further down."""
    tree = ast.parse((ROOT / "tests" / "test_structure.py").read_text())
    lists = {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    return ast.literal_eval(lists["ORDER"])


def summary(room: str) -> str:
    """The first sentence of a room's docstring, without its last stop."""
    folder = SOURCE / room
    path = folder / "__init__.py" if folder.is_dir() else SOURCE / f"{room}.py"
    text = ast.get_docstring(ast.parse(path.read_text())) or ""
    return " ".join(text.partition("\n\n")[0].split()).removesuffix(".")


def documented() -> list[str]:
    """The rooms that the API pages show: all but the command line and the package's own face."""
    return [room for room in order() if room not in ("errors", "cli", "__init__", "__main__")]


def public_names() -> list[tuple[str, str, str]]:
    """What ``import holdfast`` gives beside rooms: each name, the path of its definition, its summary."""
    tree = ast.parse((SOURCE / "__init__.py").read_text())
    listed = next(
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    )
    names = []
    for name in listed:
        module, definition = defined(SOURCE / "__init__.py", name)
        text = ast.get_docstring(definition) if definition is not None else None
        if text:
            names.append((name, f"{module}.{name}", text.partition("\n")[0]))
    return names


def defined(path: Path, name: str) -> tuple[str, ast.ClassDef | ast.FunctionDef | None]:
    """The module and the definition of a name, through the imports of packages."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            parts = path.relative_to(SOURCE.parent).with_suffix("").parts
            return ".".join(part for part in parts if part != "__init__"), node
        if isinstance(node, ast.ImportFrom) and name in {alias.name for alias in node.names}:
            source = SOURCE.parent.joinpath(*(node.module or "").split("."))
            source = source / "__init__.py" if source.is_dir() else source.with_suffix(".py")
            if source.is_file() and source != path:
                return defined(source, name)
    return "", None


def table() -> str:
    """The map as a table, a row a room."""
    rows = ["| room | what is in it |", "|---|---|"]
    for room in order():
        name = f"{room}/" if (SOURCE / room).is_dir() else f"{room}.py"
        rows.append(f"| `{name}` | {summary(room)} |")
    return "\n" + "\n".join(rows) + "\n\n"


def mapped(guide: str) -> str:
    """A guide with its map made anew."""
    return MAP.sub(lambda _: table(), guide)


if __name__ == "__main__":
    GUIDE.write_text(mapped(GUIDE.read_text()))
