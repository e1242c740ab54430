"""The page of a comparison: its figures, its safety, and that it works in a browser."""

import base64
import hashlib
import itertools
import json
import random
import re

import pytest

from axe import grave_faults
from browser import CHROMIUM, browsing
from diagnosed import diagnostics, write_diagnostics
from holdfast.cli import main
from holdfast.compare import compare, read_runs
from holdfast.compare.axes import BOTTOM, HEIGHT, LEFT, TOP, WIDTH, ticks
from holdfast.compare.charts import Line, cost_chart, forest_chart, lines_chart, pareto
from holdfast.compare.charts import Mark as Point
from holdfast.compare.labels import label_places
from holdfast.compare.page import page_of
from holdfast.core.errors import ConfigError
from written import result, write

EVIL = '<script>alert("x")</script>\x1b[31m\u202e$title'
REMOTE = re.compile(r"""(?:src|href|url|import)\s*[=(]\s*["']?(?:https?:)?//""")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for recipe, first in (("lwf", 0.55), ("finetune", 0.2), ("si", 0.3), (EVIL, 0.4)):
        for seed in range(3):
            data = result(recipe, seed, last=first + 0.02 * seed * (recipe != "si"))
            data["memory"] |= {"bytes": 1000 * (recipe == "si")}
            data["seconds"] = 2.0 + (recipe == "lwf")
            path = write(folder / f"{recipe[:3].strip('<')}{seed}", data)
            lines = [
                {"task": n // 4, "epoch": n % 4, "loss": 1 / (1 + n % 4), "lr": 0.1}
                for n in range(12)
            ]
            text = "".join(json.dumps(line) + "\n" for line in lines) + '{"task": 9, "los'
            (path / "log.jsonl").write_text(text)
            if recipe == "lwf":
                write_diagnostics(path, seed=seed)
    return folder


@pytest.fixture(scope="module")
def page(runs):
    return page_of(compare(read_runs([runs])[0]), EVIL)


def test_the_figures_are_those_of_the_table(page):
    assert "12 runs of 4 methods" in page and "cannot give a p below 0.25" in page
    assert "+35.0 ± 0.0" in page and "baseline" in page
    assert page.count("<template") == 12 and page.count('class="matrix"') == 2 * 13
    assert "content cccccccc" in page and "&quot;epochs&quot;: 2" in page
    assert page.count("The loss and its parts") == 13


def test_the_page_is_self_contained_and_runs_its_own_script_alone(page):
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.S)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page and "default-src 'none'" in page
    assert not REMOTE.search(page) and not re.search(r"""\s(?:on\w+|style)=["']""", page)
    for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
        assert way not in script


def test_no_name_is_markup_or_obeyed(page):
    assert "\x1b" not in page and "\u202e" not in page and "&lt;script&gt;" in page
    assert page.count("<script>") == 1 and "$title" in page


def test_every_chart_says_in_words_what_it_shows(page):
    charts = re.findall(r"<svg [^>]*>", page)
    charts = [chart for chart in charts if 'aria-hidden="true"' not in chart]  # beside its numbers
    assert len(charts) > 10 and all('aria-label="' in chart for chart in charts)
    assert page.count("<figcaption>") >= len(charts) - 1


def test_diagnostics_are_shown_task_by_task_with_their_reasons(page):
    assert page.count("<h4>Diagnostics</h4>") == 4  # three runs, and the one that stands open
    (means,) = re.findall(r"Diagnostics by method.*?</table>", page)
    assert re.findall(r"<th[^>]*>(\w+) \(3\)", means) == ["lwf"] and ">77</td>" in means
    assert "drift of class means" in page and "After task 2: old classes are invaded" in page
    assert "drift of class means, after 1: there is no earlier network" in page
    assert page.count("diamonds are prototypes; the plane shows 83.0 % of the variance") == 12
    assert page.count('class="prototype') == 4 * (2 + 4 + 6)


def without(data, *places):
    *inside, last = places
    for place in inside:
        data = data[place]
    del data[last]


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda d: d.update(format=2), "its format is 2, and this version reads 1"),
        (lambda d: without(d, "tasks"), "KeyError"),
        (lambda d: d["tasks"].append(5), "cannot be read"),
        (lambda d: without(d, "tasks", 1, "figures"), "diagnose that run again"),
    ],
)
def test_damaged_diagnostics_are_said_and_the_rest_is_shown(change, words, tmp_path):
    folder = write(tmp_path / "a", result("lwf"))
    data = diagnostics()
    change(data)
    write_diagnostics(folder, data)
    text = page_of(compare(read_runs([tmp_path])[0]))
    assert words in text and "diagnostics.json cannot be read" in text and 'class="matrix"' in text


def test_diagnostics_that_lack_a_number_are_a_dash(tmp_path):
    folder = write(tmp_path / "a", result("lwf"))
    data = diagnostics(tasks=1)
    data["tasks"][0]["figures"] = {"nc1": None, "of a plugin": 1234.5}
    data["tasks"][0]["embedding"]["points"][0] = [None, 1.0]
    write_diagnostics(folder, data)
    text = page_of(compare(read_runs([tmp_path])[0]))
    assert "of a plugin" in text and "1,234" in text and not re.search(r"\bnan\b", text)
    assert "Embedding of 23 watched rows" in text and 'type="range"' not in text
    data["tasks"][0]["embedding"] = None
    write_diagnostics(folder, data)
    assert "plane" not in page_of(compare(read_runs([tmp_path])[0])).partition("<main>")[2]


def test_charts_of_nothing_are_left_out():
    assert lines_chart([], "x", "y", "z") == "" == forest_chart([], "x", "z")
    assert cost_chart([], "x", "y", "z") == ""
    flat = lines_chart([Line("a", [1], [0.0])], "x", "y", "z")
    assert "NaN" not in flat and "nan" not in flat and "<polyline" in flat
    one = cost_chart([Point("a", 0.0, 5.0, float("nan"), True)], "x", "y", "z")
    assert "nan" not in one and 'class="dot"' in one
    alone = forest_chart([("a", 1.0, float("nan"), float("nan"))], "x", "z")
    assert "nan" not in alone and 'class="dot"' in alone


def test_no_name_lies_on_another_or_on_a_mark():
    chance = random.Random(3)
    marks = [(60 + 400 * chance.random(), 60 + 40 * chance.random()) for _ in range(20)]
    marks += [marks[0], marks[0]]
    names = [f"method {k} (strict)" for k in range(len(marks))]
    labels = label_places(names, marks)
    boxes = []
    for name, label in zip(names, labels, strict=True):
        long = len(name) * 6
        left = label.x - long if label.left else label.x
        boxes.append((left, label.y - 9, left + long, label.y + 2))
        assert left >= LEFT and left + long <= WIDTH and TOP - 12 < label.y < HEIGHT - BOTTOM
    apart = lambda a, b: a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
    assert all(apart(a, b) for a, b in itertools.combinations(boxes, 2))
    circles = [(x - 5, y - 5, x + 5, y + 5) for x, y in marks]
    assert all(apart(box, circle) for box in boxes for circle in circles)
    (long,) = label_places(["x" * 300], [(60.0, 60.0)])
    assert not long.away


def test_a_method_is_found_without_its_brackets(tmp_path):
    for recipe in ("lwf", "lwf_wa"):
        for seed in range(2):
            write(tmp_path / f"{recipe}{seed}", result(recipe, seed))
    cells, _ = read_runs([tmp_path])
    table = compare(cells, "lwf", across=("protocol",)).tables[0]
    assert table.baseline == "lwf (strict)"
    with pytest.raises(ConfigError, match="unknown method"):
        compare(cells, "lw", across=("protocol",))


def test_the_front_is_what_nothing_beats_at_as_little():
    points = [(0.0, 5.0), (1.0, 4.0), (1.0, 7.0), (2.0, 7.0), (3.0, 9.0)]
    slow = [
        all(not ((x <= a and y > b) or (x < a and y >= b)) for x, y in points) for a, b in points
    ]
    assert pareto(points) == slow == [True, False, True, False, True]
    assert ticks(-3.0, 3.0, 7) == [-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0] or 0.0 in ticks(
        -3.0, 3.0, 7
    )


def test_the_command_writes_a_file_once(runs, tmp_path, capsys):
    file = tmp_path / "a" / "r.html"
    assert main(["report", str(runs), "-o", str(file)]) == 0
    assert "12 runs" in capsys.readouterr().out and file.read_text().startswith("<!doctype html>")
    assert main(["report", str(runs), "-o", str(file)]) == 2
    assert "exists already" in capsys.readouterr().err
    assert (
        main(["report", str(runs), "-o", str(file), "--overwrite", "--metric", "forgetting"]) == 0
    )


# in a browser


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    if CHROMIUM is None:
        pytest.skip("needs chromium")
    with browsing(tmp_path_factory.mktemp("profile")) as page:
        yield page


NAMES = (
    "[...document.querySelector('.sort').querySelectorAll('tbody th')].map(th => th.textContent)"
)


def test_sorting_and_switching_work_and_nothing_is_fetched(page, opened, tmp_path):
    file = tmp_path / "report.html"
    file.write_text(page, "utf-8")
    for width, dark in ((390, False), (1280, True)):
        opened.size(width, 900, dark)
        opened.go(file.as_uri())
        assert opened.run("document.documentElement.scrollWidth") <= width
        first = opened.run(NAMES)
        assert first[0] == "lwf" and first[-1] == "finetune"
        click = "document.querySelector('.sort').querySelectorAll('thead button')[{}].click()"
        opened.run(click.format(2))
        assert opened.run(NAMES) == first
        opened.run(click.format(2))
        assert opened.run(NAMES) == first[::-1]
        assert opened.run("document.querySelectorAll('[aria-sort=ascending]').length") == 1
        opened.run(click.format(0))
        assert opened.run(NAMES)[-1] == "si" and len(opened.run(NAMES)) == 4
        heading = "document.querySelector('#stage h3').textContent"
        before = opened.run(heading)
        opened.run(
            "const s = document.getElementById('run'); s.value = '4';"
            "s.dispatchEvent(new Event('change'))"
        )
        assert opened.run(heading) != before
        assert opened.run("performance.getEntriesByType('resource').length") == 0
    assert opened.messages == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_axe_finds_no_serious_fault(page, opened, tmp_path, width, dark):
    file = tmp_path / "report.html"
    file.write_text(page, "utf-8")
    opened.size(width, 900, dark)
    opened.go(file.as_uri())
    opened.run("for (const each of document.querySelectorAll('details')) each.open = true")
    assert grave_faults(opened) == []
    opened.run("document.querySelector('h1').style.color = 'rgb(128, 128, 128)'")
    opened.run("document.querySelector('h1').style.background = 'rgb(120, 120, 120)'")
    assert any("color-contrast" in fault for fault in grave_faults(opened))  # it does look


def test_the_embedding_goes_from_task_to_task_by_keyboard(page, opened, tmp_path):
    file = tmp_path / "report.html"
    file.write_text(page, "utf-8")
    opened.size(1280, 900)
    opened.go(file.as_uri())
    shown = "[...document.querySelectorAll('#stage .step')].findIndex(each => !each.hidden)"
    value = "document.querySelector('#stage .slide output').value"
    assert (opened.run(shown), opened.run(value)) == (2, "3")
    opened.run("document.querySelector('#stage .slide input').focus()")
    for kind in ("keyDown", "keyUp"):
        opened.call("Input.dispatchKeyEvent", type=kind, key="ArrowLeft", windowsVirtualKeyCode=37)
    assert (opened.run(shown), opened.run(value)) == (1, "2")
    assert opened.run("document.querySelector('#stage .step:not([hidden]) svg').clientWidth") > 200
    assert "2 of 3" not in page and opened.messages == []


def test_numbers_on_shades_can_be_read(page, opened, tmp_path):
    """Whatever accuracy a cell of a matrix shows, in light and in dark: 4.1 : 1 at least."""
    file = tmp_path / "report.html"
    file.write_text(page, "utf-8")
    for dark in (False, True):
        opened.size(1000, 900, dark)
        opened.go(file.as_uri())
        style = "getComputedStyle(document.documentElement).getPropertyValue('--{}').trim()"
        fill, paper = opened.run(style.format("fill")), opened.run(style.format("paper"))
        for value in range(101):
            shade = mixed(fill, paper, round(0.06 + 0.94 * value / 100, 2))
            ink = "mid" if 62 < value <= 90 else "full" if value > 90 else "low"
            text = "#000000" if ink == "mid" else opened.run(style.format(ink))
            assert contrast(text, shade) >= 4.1, (value, dark)


def mixed(a, b, share):
    pairs = [(int(a[k : k + 2], 16), int(b[k : k + 2], 16)) for k in (1, 3, 5)]
    return "#" + "".join(f"{round(share * x + (1 - share) * y):02x}" for x, y in pairs)


def test_colours_stand_out_from_the_paper(page, opened, tmp_path):
    """Text at least 4.5 : 1, lines at least 3 : 1, in light and in dark."""
    file = tmp_path / "report.html"
    file.write_text(page, "utf-8")
    for dark in (False, True):
        opened.size(1000, 900, dark)
        opened.go(file.as_uri())
        style = "getComputedStyle(document.documentElement).getPropertyValue('--{}').trim()"
        paper = opened.run(style.format("paper"))
        for name in ("ink", "soft", "good", "bad"):
            assert contrast(opened.run(style.format(name)), paper) >= 4.5, (name, dark)
        for name in ("fill", *(f"s{k}" for k in range(8))):
            assert contrast(opened.run(style.format(name)), paper) >= 3, (name, dark)


def contrast(a, b):
    light, shade = sorted(map(luminance, (a, b)), reverse=True)
    return (light + 0.05) / (shade + 0.05)


def luminance(colour):
    parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    r, g, b = (c / 12.92 if c <= 0.04 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b
