"""What the documents show runs, and says what they say it says."""

import itertools
import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
EXAMPLES.remove(ROOT / "examples" / "serve.py")  # it does not end: tests/commands/test_serve.py


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.name)
def test_examples_run(path, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(path), run_name="__main__")
    assert capsys.readouterr().out.strip()


@pytest.mark.parametrize("place, example", [(0, "ten_lines.py"), (1, "extend.py")])
def test_the_readmes_programs_are_tested_examples(place, example):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    lines = [line for line in blocks[place].splitlines() if line and not line.startswith("print")]
    tested = (ROOT / "examples" / example).read_text()
    assert [line for line in lines if line not in tested] == []
    assert len(blocks) == 2 and len(lines) <= 10


def test_the_readmes_commands_are_understood(capsys, tmp_path, monkeypatch):
    """Every command shown is read without complaint, up to the data it names."""
    from holdfast.options import parse
    from holdfast.presets import preset
    from holdfast.recipes import RECIPES

    shown = re.findall(r"^holdfast run (\S+) +([^#\n]*)", (ROOT / "README.md").read_text(), re.M)
    assert len(shown) >= 4
    for recipe, flags in shown:
        words = flags.split()
        named = {a: b for a, b in itertools.pairwise(words) if a in ("--preset", "--stream")}
        chosen = preset(named.get("--preset", "auto"), named.get("--stream", "digits"))
        assert parse(RECIPES[recipe], chosen, words)


def test_relative_links_lead_somewhere():
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
