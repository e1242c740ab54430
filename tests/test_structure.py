"""The structure the documents promise: imports point one way, files stay short, tests can fail."""

import ast
import doctest
import json
import subprocess
from pathlib import Path

import pytest

import conflict_markers
import dependencies
import holdfast
import limits
import rooms

ROOT = Path(holdfast.__file__).parent
TESTS = Path(__file__).parent

# what stands further down may import what stands further up, never the other way
ORDER = [
    "core", "errors", "stream", "learner", "loss", "curvature", "statistics", "anchor", "memory", "metrics",
    "readout", "recipes", "train", "report", "store", "log", "diagnose", "serve", "estimator", "release",
    "compare", "spread", "study", "cli", "api", "testing", "__init__", "__main__",
]  # fmt: skip


PACKAGES = sorted(ROOT.rglob("__init__.py"))


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


def test_every_room_is_in_the_order_and_described():
    assert {room(path) for path in FILES} == set(ORDER)
    assert [name for name in ORDER if not rooms.summary(name)] == []


def test_the_map_of_the_guide_is_the_order():
    guide = rooms.GUIDE.read_text()
    assert guide == rooms.mapped(guide), "run python tools/rooms.py"
    assert f"`{ORDER[0]}/`" in guide


@pytest.mark.parametrize("path", sorted(TESTS.rglob("test_*.py")), ids=lambda p: p.name)
def test_every_test_asserts_something(path):
    words = ("Assert(", "assert_", "raises", "warns", "check")
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


def test_public_names_are_found_where_they_are_defined():
    names = {name: path for name, path, _ in rooms.public_names()}
    assert set(names) <= set(holdfast.__all__) and len(names) > 15
    for name, path in names.items():
        assert path == f"{getattr(holdfast, name).__module__}.{name}"


# limits


def test_nothing_new_is_over_a_limit_and_what_was_mended_is_off_the_list():
    now, listed = limits.excesses(), json.loads(limits.LISTED.read_text())
    assert limits.news(now, listed) == []
    assert listed == limits.lowered(now, listed), "run python tools/limits.py --lower"


@pytest.mark.parametrize("package", PACKAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_name_of_a_package_is_that_of_another_of_its_modules(package):
    module = ".".join(("holdfast", *package.parent.relative_to(ROOT).parts))
    modules = {each.stem for each in package.parent.iterdir() if each.name != "__init__.py"}
    exported = {
        (alias.asname or alias.name): (node.module or "").rsplit(".", 1)[-1]
        for node in ast.walk(ast.parse(package.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module != module
        for alias in node.names
    }
    # the module takes the name back when it is imported first somewhere else
    assert [n for n, home in exported.items() if n in modules - {home}] == []


def test_limits_see_what_is_over_them(tmp_path):
    long = "\n".join(f"    x = {i}" for i in range(limits.FUNCTION_LINES))
    (tmp_path / "split.py").write_text(
        'def split(given):\n    """Its docstring\n    does not count."""\n'
        f"    self.held, _told = 1, 2\n{long}\n"
    )
    (tmp_path / "fine.py").write_text("def cut(rows):\n    holding = owner = 1\n")
    (tmp_path / "large.py").write_text("\n" * (limits.FILE_LINES + 1))
    now = limits.excesses(tmp_path)
    assert now == {
        "long functions": {"split.py:split": limits.FUNCTION_LINES + 2},
        "long files": {"large.py": limits.FILE_LINES + 1},
        "vague names": {"split.py": 3},
        "homonyms": {"split.py": 1},
    }
    none = {rule: {} for rule in now}
    assert len(limits.news(now, none)) == 4 and limits.news(none, now) == []
    assert limits.lowered(now, none) == none == limits.lowered(none, now)


# what the project declares and tracks


def test_every_import_is_declared_and_every_declaration_imported():
    assert dependencies.differences(TESTS.parent) == []


def test_differences_between_imports_and_declarations_are_seen(tmp_path):
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname = "one"\ndependencies = ["pillow>=10", "unused"]\n'
        '[project.optional-dependencies]\nextra = ["onnx", "idle"]\ndev = ["pytest"]\n'
    )
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "a.py").write_text(
        "import os, PIL\nfrom one import b\nimport missing.part\nimport onnx\n"
        "def later():\n    import absent\n"
    )
    assert dependencies.differences(tmp_path) == [
        "src/a.py imports absent, which pyproject.toml does not declare",
        "src/a.py imports missing, which pyproject.toml does not declare",
        "src/a.py imports onnx at once, but the extra extra brings it",
        "pyproject.toml declares idle, which no file imports",
        "pyproject.toml declares unused, which no file imports",
    ]


def test_the_name_of_an_import_is_that_of_its_requirement():
    assert doctest.testmod(dependencies).failed == 0 < doctest.testmod(dependencies).attempted


def test_conflict_markers_are_found_in_tracked_files_alone(tmp_path):
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    heading = "Title\n=====\n\ntext with <<<<<<< inside\n"
    for name, text in {
        "a.md": f"{heading}{'<' * 7} HEAD\nmine\n{'=' * 7}\nyours\n{'>' * 7} main\n",
        "b.md": heading,
        "untracked.md": "=" * 7,
    }.items():
        (tmp_path / name).write_text(text)
    subprocess.run(["git", "add", "a.md", "b.md"], cwd=tmp_path, check=True)
    assert conflict_markers.conflict_markers(tmp_path) == ["a.md:5", "a.md:7", "a.md:9"]


def test_no_tracked_file_has_a_conflict_marker():
    root = TESTS.parent
    if not (root / ".git").exists():
        pytest.skip("not a checkout")
    assert conflict_markers.conflict_markers(root) == []
