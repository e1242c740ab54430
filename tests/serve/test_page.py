"""The pages of a server: self-contained, under a strict policy, and safe with any name."""

import base64
import hashlib
import re

import pytest

from axe import grave_faults
from browser import CHROMIUM, browsing
from holdfast.report.release_data import ClassRow, Confusion, ReleaseData
from holdfast.report.release_page import page_of
from holdfast.serve.page import docs_page, page, policy

REMOTE = re.compile(r"""(?:src|href|url|import)\s*[=(]\s*["']?(?:https?:)?//""")


def test_the_page_is_self_contained_and_runs_its_own_script_alone():
    text, rules = page()
    script = re.search(r"<script>(.*?)</script>", text, re.S)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in rules and "default-src 'none'" in rules
    assert "unsafe" not in rules and not REMOTE.search(text)
    assert not re.search(r"""\s(?:on\w+|style)=["']""", text)  # the policy would stop them


def test_names_are_shown_as_text_alone():
    script = re.search(r"<script>(.*?)</script>", page()[0], re.S)[1]
    for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
        assert way not in script
    texts = re.findall(r"textContent = ([^\n;]+)", script)
    assert texts and "visible(" in texts[0]


def test_a_page_without_a_script_may_run_none():
    assert "script-src 'none'" in policy("<p>")


def test_the_paths_are_described_without_anything_from_elsewhere():
    pytest.importorskip("fastapi")
    example = {"error": "<b>"}
    schema = {"paths": {"/a<b": {"post": {
        "description": "Says `x<y`.", "parameters": [{"name": "top", "description": "how many"}],
        "responses": {"200": {"content": {"application/json": {"example": example}}},
                      "413": {"description": "too large"}},
    }}}}  # fmt: skip
    text, rules = docs_page(schema)
    assert "POST /a&lt;b" in text and "<code>x&lt;y</code>" in text and "&lt;b&gt;" in text
    assert "<code>413</code> too large" in text and "script-src 'none'" in rules
    assert not REMOTE.search(text)


def test_the_pages_are_served_under_their_policy(client):
    for path, words in (("", "Drop images here"), ("docs", "POST /predict")):
        code, text, headers = client.ask(path)
        assert code == 200 and words in text and headers.get_content_type() == "text/html"
        assert headers["Content-Security-Policy"] == policy(text)
    code, schema, headers = client.ask("openapi.json")
    assert set(schema["paths"]) == {"/predict", "/health", "/model"}
    assert headers["Content-Security-Policy"] == "default-src 'none'"


# in a browser

EVIL = '<img src=x onerror="document.title=1">\x1b[31m\u202egnp.x'


@pytest.fixture(scope="module")
def page_of_a_browser(tmp_path_factory):
    if CHROMIUM is None:
        pytest.skip("needs chromium")
    with browsing(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


def test_a_picture_is_dropped_and_answered(client, images, page_of_a_browser, tmp_path):
    opened, file = page_of_a_browser, next(iter(images))
    (tmp_path / "no.png").write_bytes(b"none")
    _, data, _ = client.image(images[file], "?top=5")
    for width in (390, 1100):
        opened.size(width, 800)
        opened.go(client.address)
        opened.until(
            "document.getElementById('model').textContent === 'Version 2 knows 4 classes.'"
        )
        opened.choose("#files", [file, tmp_path / "no.png"])
        opened.until("document.querySelectorAll('article').length === 2")
        assert (
            opened.run("document.querySelector('article + article h2').firstChild.data")
            == (data["predictions"][0]["class"])
        )
        shown = opened.run("[...document.querySelectorAll('dl dd.n')].map(n => n.textContent)")
        expected = [f"{100 * e['probability']:.1f} %" for e in data["predictions"][0]["top"]]
        assert shown == expected
        assert "is not a readable image" in opened.run(
            "document.querySelector('article').innerText"
        )
        assert opened.run("document.documentElement.scrollWidth <= innerWidth")
    assert [m for m in opened.messages if "422" not in m] == []  # nothing the policy stopped


def test_names_are_never_markup_on_the_page(serve, zoo, images, page_of_a_browser):
    opened = page_of_a_browser
    opened.messages.clear()
    with serve(zoo / "model") as client:
        client.service.follower.served.predictor.classes[:] = [EVIL] * 4
        opened.go(client.address)
        opened.choose("#files", [next(iter(images))])
        opened.until("document.querySelectorAll('article').length === 1")
        text = opened.run("document.querySelector('h2').firstChild.data")
        assert text == EVIL.replace("\x1b", "\\u001b").replace("\u202e", "\\u202e")
        assert opened.run("document.querySelectorAll('article img').length") == 1
        assert opened.run("document.title") == "holdfast" and opened.messages == []


def release():
    rows = [ClassRow(f"a rather long name of class {i}", (8, 10), (7, 10)) for i in range(9)]
    matrix = Confusion(
        [row.name for row in rows], [[7 if i == j else 1 for j in range(9)] for i in range(9)]
    )
    return page_of(ReleaseData("zoo", 2, 1, "now", 9, rows=rows, confusion=matrix))


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_axe_finds_no_serious_fault(client, images, page_of_a_browser, tmp_path, dark):
    opened = page_of_a_browser
    (tmp_path / "release.html").write_text(release())
    opened.size(1000, 800, dark)
    opened.go(client.address)
    opened.choose("#files", [next(iter(images))])
    opened.until("document.querySelectorAll('article').length === 1")
    assert grave_faults(opened) == []
    for address in (f"{client.address}docs", f"file://{tmp_path}/release.html"):
        opened.go(address)
        opened.run("for (const each of document.querySelectorAll('details')) each.open = true")
        assert grave_faults(opened) == []


def test_the_pages_of_paths_and_releases_can_be_read_on_a_phone(
    client, page_of_a_browser, tmp_path
):
    opened = page_of_a_browser
    opened.messages.clear()
    opened.size(390, 800)
    opened.go(f"{client.address}docs")
    assert opened.run("document.querySelectorAll('h2').length") == 3
    assert opened.run("document.documentElement.scrollWidth <= innerWidth")
    (tmp_path / "release.html").write_text(release())
    opened.go(f"file://{tmp_path}/release.html")
    assert opened.run("document.querySelector('h1').innerText") == "Version 2 of zoo"
    assert opened.run("document.documentElement.scrollWidth <= innerWidth")
    assert opened.messages == []
