"""What README and docs show runs, and what they name exists."""

import re
import runpy
import sys
from pathlib import Path

import pytest

import documents
from documents import PAGES, ROOT, Block

ASK = "edge.py"  # takes a file to run: see tests/serve/test_edge.py
EXAMPLES = sorted(p for p in (ROOT / "examples").glob("*.py") if p.name != ASK)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.name)
def test_examples_run(path, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(path)])
    runpy.run_path(str(path), run_name="__main__")
    assert capsys.readouterr().out.strip()


@pytest.fixture
def parts_of_its_own(monkeypatch, tmp_path):
    """Parts and modules that a page adds are gone after it."""
    from holdfast.core.registry import IMPORTED, REGISTRIES

    monkeypatch.syspath_prepend(tmp_path)
    for registry in REGISTRIES.values():
        list(registry)  # the package's own are there before
    entries = {kind: dict(registry._entries) for kind, registry in REGISTRIES.items()}
    named = set(IMPORTED)
    yield
    IMPORTED.intersection_update(named)
    for kind, registry in REGISTRIES.items():
        for name in set(registry._entries) - set(entries.get(kind, registry._entries)):
            del registry._entries[name]
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.mark.usefixtures("parts_of_its_own")
@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_the_blocks_of_a_page_run(page, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "__main__"}
    for block in documents.blocks(page):
        assert block.language in (*documents.RUN, *documents.SHOWN), f"{block}: name a language"
        if block.language in documents.RUN and "needs" not in block.marks:
            documents.run_block(block, names)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_commands_that_are_not_run_are_understood(page):
    for block in documents.blocks(page):
        assert set(block.marks) <= {"needs", "quick", "exit", "file"}, f"{block}: {block.marks}"
        if "needs" in block.marks:
            assert block.marks["needs"] in documents.NEEDS, f"{block}: {block.marks}"
            for words in block.commands if block.language == "sh" else ():
                documents.understand(words)
    for words in documents.inline_commands(page):
        documents.understand(words)


@pytest.mark.parametrize(
    "language, text",
    [
        ("sh", "holdfast run fcn2 --stream digits"),
        ("sh", "holdfast run fnc2 --epoch 1"),
        ("sh", "curl http://localhost"),
        ("sh", "make coffee"),
        ("sh", "python examples/none.py"),
        ("sh", "pip install 'holdfast[none]'"),
        ("python", "import holdfast\nholdfast.teach()"),
    ],
)
def test_a_block_that_does_not_run_is_noticed(language, text, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((AssertionError, AttributeError)):
        documents.run_block(Block(Path("page.md"), 1, language, text), {})


def test_blocks_are_found_with_their_marks(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "One\n\n```sh\nmake test\n```\n\n<!-- needs: data -->\n<!-- exit: 3 -->\n```sh\n"
        "holdfast learn zoo \\\n  --data a  # why\n```\n- item\n\n  ```python\n  x = 1\n  ```\n"
        "\n```\nnone\n```\n and `make\ndemo`."
    )
    first, second, third, fourth = documents.blocks(page)
    assert (first.line, first.language, first.commands) == (3, "sh", [["make", "test"]])
    assert second.marks == {"needs": "data", "exit": "3"}
    assert second.commands == [["holdfast", "learn", "zoo", "--data", "a"]]
    assert (third.language, third.text, fourth.language) == ("python", "x = 1\n", "")
    assert list(documents.inline_commands(page)) == [["make", "demo"]]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_relative_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#:\s]+)\)", page.read_text()):
        if not target.startswith("api/"):  # made when the site is built, which checks them
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_docstrings_become_markdown():
    pytest.importorskip("griffe", reason="needs the extra docs")
    import docstrings

    text = "L = sum_k p*_k log(p*_k / p_k), see *Some title* and `a * b`.\n\n>>> f(1)\n2\n\n2 * 3"
    assert docstrings.as_markdown(text) == (
        r"L = sum_k p\*_k log(p\*_k / p_k), see *Some title* and `a * b`."
        "\n\n\n```python\n>>> f(1)\n2\n```\n\n\n" + r"2 \* 3"
    )
    cited = docstrings.as_markdown("docs/theory.md, section 10.")
    assert cited == "[theory, section 10][10-weight-aligning]."
    assert docstrings.as_markdown("    a, b: c") == "    a: c\n    b: c"


# theory


def test_every_formula_of_the_theory_names_a_test_that_exists():
    """Under each heading of docs/theory.md stands a line that names tests, as file::test or test."""
    text = (ROOT / "docs" / "theory.md").read_text()
    sources = {path: path.read_text() for path in (ROOT / "tests").rglob("test_*.py")}
    defined = {
        name for source in sources.values() for name in re.findall(r"^def (test_\w+)", source, re.M)
    }
    named = set(re.findall(r"`(test_\w+)`", text))
    assert len(named) > 50
    assert sorted(named - defined) == []
    sections = re.split(r"^## ", text, flags=re.M)[1:]
    assert [int(section.split(".")[0]) for section in sections] == list(range(1, len(sections) + 1))
    assert [section.split("\n")[0] for section in sections if "`test_" not in section] == []


def test_sections_of_the_theory_that_the_source_cites_exist():
    text = (ROOT / "docs" / "theory.md").read_text()
    sections = set(re.findall(r"^## (\d+)\.", text, re.M))
    sources = {path: path.read_text() for path in (ROOT / "src").rglob("*.py")}
    cited = {
        number: path.name
        for path, source in sources.items()
        for number in re.findall(r"docs/theory\.md,\s+section\s+(\d+)", source)
    }
    assert cited and {n: name for n, name in cited.items() if n not in sections} == {}
    elsewhere = [path.name for path, source in sources.items() if re.search(r"THEORY \d", source)]
    assert elsewhere == []


def test_functions_that_the_pages_refer_to_exist():
    """``[text][holdfast.room.module.name]`` is checked when the site is built as well."""
    import importlib

    for page in PAGES:
        for reference in re.findall(r"\]\[(holdfast\.[\w.]+)\]", page.read_text()):
            parts = reference.split(".")
            for cut in range(len(parts), 0, -1):
                try:
                    target = importlib.import_module(".".join(parts[:cut]))
                    break
                except ModuleNotFoundError:
                    continue
            for name in parts[cut:]:
                target = getattr(target, name, None) or target.__annotations__[name]
            assert target is not None, f"{page.name}: {reference}"
