"""The blocks of code that README and docs show, and how a test runs them.

Each fenced block names its language. ``sh`` and ``python`` blocks of a page are run one after the
other in an empty folder, the Python ones in one namespace, so that a page can tell a story. A comment
on the line before a block changes that:

    <!-- needs: data -->      not run, because it needs what a test has not; see `NEEDS`
    <!-- quick: --epochs 1 -->  flags that the test adds to each command of the block
    <!-- exit: 3 -->          the exit code that each command of the block ends with
    <!-- file: mine.py -->    not run, but written to a file of that name, for the blocks that follow
"""

from __future__ import annotations

import contextlib
import io
import re
import runpy
import shlex
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]

NEEDS = {
    "data": "a data set or folder that is not part of the repository",
    "network": "a download",
    "time": "minutes",
    "server": "a process that does not end",
    "cluster": "a cluster, or several devices",
}
RUN = ("sh", "python")
TOOLS = ("holdfast", "python", "make", "pip")
SHOWN = ("text", "math", "json", "toml", "yaml")

BLOCK = re.compile(
    r"(?P<marks>(?:^ *<!-- \w+: [^\n]* -->\n)*)^(?P<indent> *)```(?P<language>\w*)[^\n]*\n"
    r"(?P<text>.*?)^(?P=indent)```$",
    re.M | re.S,
)
MARK = re.compile(r"<!-- (\w+): (.*?) -->")
INLINE = re.compile(r"(?<!`)`((?:holdfast|python|make)\s[^`]+)`")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page: its language, its text, and what its comments say."""

    page: Path
    line: int
    language: str
    text: str
    marks: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"

    @property
    def commands(self) -> list[list[str]]:
        """The words of each command of a ``sh`` block."""
        lines = self.text.replace("\\\n", " ").splitlines()
        return [words for line in lines if (words := shlex.split(line, comments=True))]


def blocks(page: Path) -> list[Block]:
    """Every fenced block of a page."""
    text = page.read_text()
    return [
        Block(
            page,
            text.count("\n", 0, match.start("language")) + 1,
            match["language"],
            re.sub(rf"^{match['indent']}", "", match["text"], flags=re.M),
            dict(MARK.findall(match["marks"])),
        )
        for match in BLOCK.finditer(text)
    ]


def inline_commands(page: Path) -> Iterator[list[str]]:
    """The words of each command that stands in a sentence."""
    prose = BLOCK.sub("", page.read_text())
    for match in INLINE.finditer(prose):
        yield shlex.split(" ".join(match[1].split()))


def run_block(block: Block, names: dict[str, object]) -> None:
    """Run a block in the present folder.

    Args:
        block: of ``sh`` or ``python``.
        names: what the page's earlier Python blocks defined.

    Raises:
        AssertionError: for a command that fails, or that a test does not know how to run.
    """
    if "file" in block.marks:
        Path(block.marks["file"]).write_text(block.text)
        return
    if block.language == "python":
        code = compile("\n" * block.line + block.text, str(block.page), "exec")
        exec(code, names)
        return
    for words in block.commands:
        run_command(words, block.marks.get("quick", ""), int(block.marks.get("exit", 0)))


def run_command(words: list[str], quick: str = "", expected: int = 0) -> None:
    """Run one command in this process, or check it where running it would run the tests again."""
    assert words[0] in TOOLS, f"a test cannot run '{' '.join(words)}': mark the block"
    if words[0] != "holdfast":
        understand(words)
    else:
        code = exit_code([*words[1:], *quick.split()])
        assert code == expected, f"{' '.join(words)} ended with {code} instead of {expected}"
    if words[0] == "python":
        runpy.run_path(str(ROOT / words[1]), run_name="__main__")


def understand(words: list[str]) -> None:
    """Check that a command exists, without running it: its name, its file or target, its flags."""
    tool, rest = words[0], words[1:]
    if tool == "make":
        targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.M)
        assert set(rest) <= set(targets), f"make {rest}"
    elif tool == "python":
        path = ROOT / rest[0]
        assert path.exists(), f"{rest[0]} is not there"
        check_flags(rest, path.read_text())
    elif tool == "pip":
        extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
            "optional-dependencies"
        ]
        named = {extra for word in rest for extra in re.findall(r"\[(\w+)\]", word)}
        assert rest[0] == "install" and named <= set(extras), f"pip {rest}"
    elif tool == "holdfast":
        usage = help_of([])
        assert re.search(rf"(?<!\w){re.escape(rest[0])}\b", usage), (
            f"there is no holdfast {rest[0]}"
        )
        flags = [word for word in rest if word.startswith("--") and word not in usage]
        if flags:
            check_flags(flags, help_of(rest))


def exit_code(arguments: list[str]) -> int:
    """How a command of holdfast ends."""
    from holdfast.cli import main

    try:
        return main(arguments)
    except SystemExit as stop:
        return int(stop.code or 0)


def help_of(words: list[str]) -> str:
    """What ``--help`` says of a command of holdfast; of any recipe, where a page names one of its own."""
    from holdfast.recipes import RECIPES

    subject = words[:1]
    if subject in (["run"], ["study"]):
        subject.append(words[1] if subject == ["study"] or words[1] in RECIPES else "fnc2")
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        assert exit_code([*subject, "--help"]) == 0, f"there is no holdfast {' '.join(subject)}"
    return text.getvalue()


def check_flags(words: list[str], known: str) -> None:
    """Check that each flag is one of those a text names."""
    for word in words:
        flag = word.partition("=")[0]
        there = re.search(rf"{re.escape(flag)}(?![\w-])", known)
        assert not flag.startswith("--") or there, f"{flag} in {' '.join(words)}"
