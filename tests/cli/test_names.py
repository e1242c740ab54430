"""Names that would move a cursor or open a tag reach no terminal, no JSON and no page as they are."""

import json

import numpy as np
import pytest
from PIL import Image

from holdfast.cli import main
from holdfast.core.text import unsafe

NAMES = (
    "a\x1b[31mred",
    "b\u202eegap",
    "c<script>alert(1)</script>".replace("/", "\u2215"),
    "d\x9b2J\rx",
)
BELL = "e\x07\x1b]0;title\x07.png"


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    """A model of images 8 x 8 whose classes and files have such names, and the folder it is of."""
    root = tmp_path_factory.mktemp("zoo")
    chance = np.random.default_rng(0)
    for k, name in enumerate(NAMES):
        (root / "data" / name).mkdir(parents=True)
        for i in range(6):
            pixels = chance.integers(0, 60, (8, 8, 3)) + 60 * k
            file = root / "data" / name / (f"{i}{BELL}")
            Image.fromarray(pixels.astype(np.uint8)).save(file, format="png")
        (root / "data" / name / f"broken{BELL}").write_bytes(b"no image")
    arguments = ["--recipe", "frozen", "--backbone", "identity", "--size", "8", "--quiet"]
    assert main(["learn", str(root / "model"), "--data", str(root / "data"), *arguments]) == 0
    return root


def obeyed(text):
    """Characters of a text that a terminal or a page would obey."""
    return sorted({letter for letter in text if unsafe(letter) and letter not in "\n\t"})


COMMANDS = (
    ["learn", "MODEL", "--data", "DATA", "--yes"],
    ["learn", "MODEL", "--data", "DATA", "--yes", "--json"],
    ["predict", "MODEL", "DATA"],
    ["predict", "MODEL", "DATA", "--json", "--top", "2"],
    ["evaluate", "MODEL", "--data", "DATA"],
    ["evaluate", "MODEL", "--data", "DATA", "--json"],
    ["inspect", "MODEL"],
    ["inspect", "MODEL", "--json"],
    ["history", "MODEL"],
    ["diff", "MODEL", "1", "2"],
    ["remove", "MODEL", "no\x1b[2Jclass"],
)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_nothing_that_would_be_obeyed_is_printed(command, zoo, capsys):
    places = {"MODEL": str(zoo / "model"), "DATA": str(zoo / "data")}
    code = main([places.get(word, word) for word in command])
    out = capsys.readouterr()
    assert code in (0, 2) and out.out + out.err
    assert obeyed(out.out + out.err) == []
    if "--json" in command:
        lines = out.out.splitlines() if command[0] == "predict" else [out.out]
        assert NAMES[0] in json.dumps([json.loads(line) for line in lines]).encode().decode(
            "unicode_escape"
        )


def test_the_page_of_a_release_holds_names_as_text(zoo):
    pages = list((zoo / "model").rglob("release.html"))
    assert pages
    for page in pages:
        text = page.read_text()
        assert obeyed(text) == [] and "<script>alert" not in text
        assert "&lt;script&gt;alert" in text and "a\\x1b[31mred" in text
