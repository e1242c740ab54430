"""The structure the documents promise: imports point one way, files stay short, tests can fail."""

import ast
from pathlib import Path

import pytest

import holdfast

ROOT = Path(holdfast.__file__).parent
TESTS = Path(__file__).parent

# what stands further down may import what stands further up, never the other way
ORDER = [
    "errors", "chance", "tally", "allocator", "settings", "stream", "learner", "step", "ledger", "loss",
    "curvature", "anchor", "memory", "metrics", "readout", "method", "recipes", "result", "events",
    "resume", "continual", "engine", "presets", "estimator", "report", "store", "study", "options",
    "commands", "cli",
    "__init__",
]  # fmt: skip


def room(path: Path) -> str:
    """The package or module of the first level that a file belongs to."""
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """Rooms that a file imports when it runs; imports for annotations alone do not count."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            node.body = []
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("holdfast"):
            inner = node.module.split(".")[1:]
            names |= {inner[0]} if inner else {alias.name for alias in node.names}
    return names & set(ORDER)


FILES = sorted(ROOT.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_one_way(path):
    here = ORDER.index(room(path))
    assert [name for name in imported(path) if ORDER.index(name) > here] == []


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_file_is_one_idea(path):
    assert len(path.read_text().splitlines()) <= 300


@pytest.mark.parametrize("path", sorted(TESTS.rglob("test_*.py")), ids=lambda p: p.name)
def test_every_test_asserts_something(path):
    words = ("Assert(", "assert_", "raises", "check")
    mute = [
        node.name
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test")
        if not any(word in ast.dump(node) for word in words)
    ]
    assert mute == []


def test_public_names_exist_and_are_documented():
    for name in holdfast.__all__:
        assert getattr(holdfast, name).__doc__, name
