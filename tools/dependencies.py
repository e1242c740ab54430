"""Compare what the package imports with what pyproject.toml declares; exit with 1 if they differ."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

# distributions that are imported under another name than their own
IMPORT_NAMES = {"pillow": "PIL", "scikit-learn": "sklearn", "mlflow-skinny": "mlflow"}

# extras for working on the package; the others are optional parts of it
DEVELOPMENT = {"dev", "docs", "bench"}


def import_name(requirement: str) -> str:
    """The top-level module of a requirement.

    >>> import_name("lightning-fabric>=2.4"), import_name("pillow>=10"), import_name("ray[tune]")
    ('lightning_fabric', 'PIL', 'ray')
    """
    name = re.split(r"[\s\[<>=!~;]", requirement, maxsplit=1)[0].lower()
    return IMPORT_NAMES.get(name, name.replace("-", "_"))


def imports(node: ast.AST, at_once: bool = True) -> Iterator[tuple[str, bool]]:
    """Every module that code imports, and whether it does so when it is itself imported.

    Imports in functions wait until they are called; those for annotations alone never run.
    """
    if isinstance(node, ast.Import):
        yield from ((alias.name.split(".")[0], at_once) for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
        yield node.module.split(".")[0], at_once
    later = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or (
        isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
    )
    for child in ast.iter_child_nodes(node):
        yield from imports(child, at_once and not later)


def differences(root: Path) -> list[str]:
    """What is undeclared, what is declared for nothing, and what is optional but imported at once."""
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    required = {import_name(requirement) for requirement in project["dependencies"]}
    optional = {
        import_name(requirement): extra
        for extra, requirements in project.get("optional-dependencies", {}).items()
        for requirement in requirements
        if extra not in DEVELOPMENT
    }
    ignored = sys.stdlib_module_names | {project["name"]}
    uses = sorted(
        (module, at_once, str(path.relative_to(root)))
        for path in (root / "src").rglob("*.py")
        for module, at_once in set(imports(ast.parse(path.read_text())))
        if module not in ignored
    )
    lines = []
    for module, at_once, path in uses:
        if module not in required | set(optional):
            lines.append(f"{path} imports {module}, which pyproject.toml does not declare")
        elif at_once and module not in required:
            lines.append(
                f"{path} imports {module} at once, but the extra {optional[module]} brings it"
            )
    used = {module for module, _, _ in uses}
    return lines + [
        f"pyproject.toml declares {module}, which no file imports"
        for module in sorted((required | set(optional)) - used)
    ]


if __name__ == "__main__":
    lines = differences(Path(__file__).parents[1])
    if lines:
        sys.exit("\n".join(lines))
