"""The page an update leaves: figures are those of the data, nothing is fetched, no name is markup."""

import math
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from holdfast.report.release_data import (
    Calibration,
    ClassRow,
    Confusion,
    Picture,
    ReleaseData,
    Unknown,
)
from holdfast.report.release_page import ROWS, back_command, page_of
from holdfast.report.small import thumbnail
from holdfast.report.svg import SHOWN, scale_end, shares, worst_classes
from holdfast.report.wilson import wilson

EVIL = '<script>alert("x")</script>\x1b[31m\u202e'
JPEG = thumbnail(np.zeros((3, 20, 30), np.uint8))


def drawn(**changes):
    data = ReleaseData(
        "my models/zoo", 3, 2, "2030-01-02", 3,
        facts={"recipe": "frozen"},
        rows=[
            ClassRow("cat", (9, 10), (8, 10)),
            ClassRow("dog", (5, 10), (5, 10)),
            ClassRow("owl", None, (6, 10)),
        ],
        confusion=Confusion(["cat", "dog", "owl"], [[8, 2, 0], [4, 5, 1], [4, 0, 6]]),
        calibration=Calibration([0.95] * 10 + [0.55] * 10, [True] * 9 + [False] * 11, 0.31, 0.05),
        unknown=Unknown([1.0] * 18 + [9.0] * 2, 5.0, 0.05, [8.0, 9.0, 2.0]),
        wrong=[Picture(JPEG, "a/1.png", "cat", "dog", 0.987)],
        strangest=[Picture(JPEG, "b.png", "", "owl", 12.5)],
        stored={"images": "0", "numbers": "1,234"},
        notes=["3 images are twice in the data."],
        skipped=[("x.txt", "no image by its name")],
    )  # fmt: skip
    return page_of(replace(data, **changes))


class Texts(HTMLParser):
    """What a page shows, its elements, and whether they close in order."""

    EMPTY = ("meta", "img", "br", "input")

    def __init__(self, text):
        super().__init__()
        self.open, self.elements, self.words = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())

    def of(self, tag):
        return [attrs for name, attrs in self.elements if name == tag]


def test_the_figures_of_the_head_are_those_of_the_data():
    shown = Texts(drawn()).text
    low, high = (round(100 * end) for end in wilson(19, 30))
    assert f"right, all classes 63.3 % 95 %: {low} to {high}; n = 30" in shown
    assert "old classes, points −5.0 70.0 before, 65.0 after; n = 20" in shown
    assert "calibration error, points 31.0 n = 20; 5.0 is chance" in shown
    low, high = (round(100 * end) for end in wilson(2, 20))
    assert f"known, called unknown 10.0 % 5.0 % asked for; 95 %: {low} to {high}; n = 20" in shown
    assert "Version 3 of my models/zoo" in shown and "learned from version 2, 3 classes" in shown
    assert "recipe frozen" in shown and "numbers 1,234" in shown
    assert "3 images are twice" in shown and "x.txt: no image by its name" in shown


def test_classes_stand_with_the_greatest_loss_first():
    page = drawn()
    shown = Texts(page).text
    places = [
        shown.index(line)
        for line in ("cat 10 90.0 80.0 −10.0", "dog 10 50.0 50.0 +0.0", "owl 10 new 60.0")
    ]
    assert places == sorted(places)
    assert re.search(r'class="worse">−10\.0<', page) and ">+0.0<" in page


def test_many_classes_are_folded_away():
    rows = [ClassRow(f"class {i}", (5, 10), (5, 10)) for i in range(ROWS + 7)]
    shown = Texts(drawn(rows=rows)).text
    assert "7 more classes" in shown and all(row.name in shown for row in rows)


def test_errors_stand_in_a_table_and_in_a_matrix():
    page = Texts(drawn())
    assert "dog cat 4 of 10" in page.text and "owl cat 4 of 10" in page.text
    assert "cat dog 2 of 10" in page.text and "dog taken for owl: 1 of 10" in page.text
    names = [f"c{i}" for i in range(SHOWN + 20)]
    counts = [[0] * len(names) for _ in names]
    for i in range(20, len(names)):
        counts[i][i - 1] = i
    matrix = Confusion(names, counts)
    assert len(worst_classes(matrix)) == SHOWN and 0 not in worst_classes(matrix)
    assert (
        f"Confusion matrix of the {SHOWN} classes with most errors"
        in Texts(drawn(confusion=matrix)).text
    )
    right = Confusion(["a", "b"], [[3, 0], [0, 3]])
    assert "No image was taken for another class" in Texts(drawn(confusion=right)).text


def test_unknown_images_are_counted_of_both_kinds():
    shown = Texts(drawn()).text
    assert "20 known images: 2 (10.0 %" in shown and "above the threshold 5 " in shown
    assert "3 images of no known class: 2 (66.7 %" in shown
    alone = Texts(drawn(unknown=Unknown([1.0, 2.0], 5.0, 0.05))).text
    assert "2 known images: 0 (0.0 %" in alone and "of no known class" not in alone


def test_the_scale_of_the_unknown_holds_the_threshold():
    assert scale_end(Unknown([1.0] * 99 + [1e9], 5.0, 0.05)) == 8.0
    assert scale_end(Unknown([math.inf], math.inf, 0.05)) > 0
    assert shares([-1.0, 0.0, 2.0], 2.0, 2) == [2 / 3, 1 / 3]


def test_how_to_go_back_is_quoted_for_a_shell():
    data = ReleaseData("it's a; rm", 3, 2, "", 1)
    assert back_command(data) == "holdfast rollback 'it'\"'\"'s a; rm' 2"
    assert "holdfast rollback 'my models/zoo' 2" in Texts(drawn()).text
    first = Texts(drawn(parent=0)).text
    assert "holdfast rollback" not in first and "the first version" in first


def test_nothing_is_fetched_and_nothing_runs():
    page = drawn()
    texts = Texts(page)
    assert not re.search(r"(?:https?:)?//", re.sub(r"base64,[^\"]*", "", page))
    assert texts.of("script") == [] and texts.of("link") == [] and texts.of("iframe") == []
    assert all(image["src"].startswith("data:image/jpeg;base64,") for image in texts.of("img"))
    (policy,) = [m["content"] for m in texts.of("meta") if "http-equiv" in m]
    assert policy.startswith("default-src 'none'") and "script" not in policy


def test_no_name_is_markup_or_obeyed():
    row, picture = ClassRow(EVIL, (1, 2), (1, 2)), Picture(JPEG, EVIL, EVIL, EVIL, 0.5)
    page = drawn(
        model=EVIL, created=EVIL, facts={EVIL: EVIL}, measured_on=EVIL, rows=[row],
        confusion=Confusion([EVIL, "$title ${x}"], [[1, 1], [1, 1]]), wrong=[picture],
        strangest=[picture], stored={EVIL: EVIL}, notes=[EVIL], skipped=[(EVIL, EVIL)],
    )  # fmt: skip
    texts = Texts(page)
    assert texts.of("script") == [] and "\x1b" not in page and "\u202e" not in page
    assert texts.text.count("\\x1b[31m\\u202e") >= 12 and "$title ${x}" in texts.text
    assert all(name[:2] != "on" for _, attrs in texts.elements for name in attrs)


def test_it_can_be_read_without_seeing_it():
    texts = Texts(drawn())
    assert all(image.get("alt") for image in texts.of("img")) and len(texts.of("img")) == 2
    assert all(svg.get("aria-label") or svg.get("aria-hidden") == "true" for svg in texts.of("svg"))
    assert len(texts.of("caption")) == len(texts.of("table")) == 3
    assert {head["scope"] for head in texts.of("th")} == {"col", "row"}
    assert texts.of("html")[0]["lang"] == "en" and len(texts.of("h1")) == 1


def test_what_was_not_measured_is_left_out():
    shown = Texts(page_of(ReleaseData("zoo", 1, 0, "2030-01-02", 2))).text
    for words in (
        "Before and after",
        "How far",
        "taken for",
        "Surely",
        "Strangest",
        "stored",
        "Left",
    ):
        assert words not in shown
    none = Texts(drawn(
        rows=[ClassRow("a", (0, 0), (0, 0))], calibration=Calibration([], [], math.nan),
        unknown=Unknown([], 1.0, 0.05), confusion=Confusion([], []),
    )).text  # fmt: skip
    assert "nan" not in none


@pytest.mark.parametrize("right, total", [(0, 5), (5, 5), (1, 3), (80, 100)])
def test_the_interval_of_wilson_holds_the_shares_that_are_not_rejected(right, total):
    """p is in it iff |p^ - p| <= z sqrt(p (1 - p) / n): the test it inverts."""
    low, high = wilson(right, total)
    for p in np.linspace(0.0005, 0.9995, 1000):
        inside = abs(right / total - p) <= 1.959964 * math.sqrt(p * (1 - p) / total)
        assert inside == (low <= p <= high), p
    assert wilson(0, 0) == (0.0, 1.0)
