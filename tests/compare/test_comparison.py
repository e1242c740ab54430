"""Run folders side by side: what stands in one table, what is refused, and that figures are the runs'."""

import csv
import io
import json
import math

import numpy as np
import pytest

import reference_compare as twin
from holdfast.cli import main
from holdfast.compare.comparison import compare
from holdfast.compare.figures import figures_of
from holdfast.compare.formats import FORMATS
from holdfast.compare.runs import cells_of, read_runs
from written import result, write

LASTS = {"lwf": (0.50, 0.56, 0.53, 0.58), "finetune": (0.20, 0.22, 0.24, 0.21)}


@pytest.fixture
def runs(tmp_path):
    for recipe, values in LASTS.items():
        for seed, last in enumerate(values):
            write(tmp_path / f"{recipe}-{seed}", result(recipe, seed, last=last))
    return tmp_path


def ended(capsys, *words, code=2):
    assert main(list(map(str, words))) == code
    out = capsys.readouterr()
    return " ".join((out.out + out.err).split())


def compared(folder, **options):
    return compare(read_runs([folder])[0], **options)


def test_differences_are_paired_by_block(runs):
    (table,) = compared(runs).tables
    d = 100 * (np.array(LASTS["lwf"]) - LASTS["finetune"])
    best, base = table.rows
    assert (best.name, base.name, base.contrast) == ("lwf", "finetune", None)
    estimate = best.contrast.estimate
    assert estimate.mean == pytest.approx(d.mean()) and estimate.n == 4
    assert estimate.se == pytest.approx(d.std(ddof=1) / 2)
    assert best.contrast.p_flip == pytest.approx(twin.sign_flip(list(d))) == best.contrast.floor
    assert best.contrast.verdict == "better" and best.estimate.mean == pytest.approx(54.25)


@pytest.mark.parametrize("weighting", ["mean_images", "mean_tasks"])
@pytest.mark.parametrize("variant", ["max_before", "max_all", "first"])
def test_figures_are_those_of_the_matrix(weighting, variant, tmp_path):
    (cell,) = cells_of(tmp_path, result(last=[0.75, 0.6, 0.3]))
    weights = [10, 20, 30] if weighting == "mean_images" else [1, 1, 1]
    rows = [row[: i + 1] for i, row in enumerate(cell.class_il.tolist())]
    ours = figures_of(cell, weighting, variant)
    total = sum(weights)
    final = sum(w * v for w, v in zip(weights, rows[-1])) / total
    right = sum(w * (1 + v) / 2 for w, v in zip(weights, rows[-1])) / total
    assert ours["forgetting"] == pytest.approx(twin.forgetting(rows, weights, variant))
    assert ours["backward_transfer"] == pytest.approx(-twin.forgetting(rows, weights, "first"))
    assert ours["average"] == pytest.approx(twin.average(rows, weights))
    assert ours["final"] == pytest.approx(final) == ours["right_task"] * ours["right_class"]
    assert ours["right_task"] == pytest.approx(right)


def test_methods_that_differ_in_a_setting_are_named_by_it(tmp_path):
    for seed in range(2):
        for gamma in (0, 4):
            data = result("fnc2", seed, last=0.3 + 0.1 * gamma, gamma=gamma)
            write(tmp_path / f"{gamma}{seed}", data)
    (table,) = compared(tmp_path).tables
    assert [row.name for row in table.rows] == ["fnc2 gamma=4", "fnc2 gamma=0"]
    assert table.baseline == "fnc2 gamma=0"


def test_runs_of_an_earlier_version_stand_in_the_row_of_their_method(tmp_path):
    for seed in range(4):
        data = result("fnc2", seed, gamma=1)
        data["config"]["method"] = {"name": "fnc2", "follow": seed == 3}
        if seed:  # the recipe's parameter came after the first run
            data["config"]["recipe"]["follow"] = seed == 3
        write(tmp_path / f"{seed}", data)
    (table,) = compared(tmp_path).tables
    rows = {row.name: row.estimate.n for row in table.rows}
    assert rows == {"fnc2 follow=False": 3, "fnc2 follow=True": 1}


@pytest.mark.parametrize(
    "where, value, word",
    [
        (("data", "content"), "d" * 64, "data"),
        (("data", "tasks"), [[0, 1, 2], [3], [4, 5]], "split"),
        (("config", "setup", "network"), {"backbone": "other"}, "backbone"),
        (("readouts", "head", "protocol"), "buffer(200)", "protocol"),
    ],
)
def test_runs_that_differ_in_their_place_are_never_in_one_table(runs, where, value, word):
    data = result("er", 0, last=0.9)
    inner = data
    for name in where[:-1]:
        inner = inner[name]
    inner[where[-1]] = value
    write(runs / "er-0", data)
    output = compared(runs)
    assert sorted(len(table.rows) for table in output.tables) == [1, 2]
    assert f"differ in {word}" in output.notes[0]
    if word in ("protocol", "backbone"):
        (table,) = compared(runs, across=[word]).tables
        assert len(table.rows) == 3 and table.rows[0].name.startswith("er (")


def test_orders_that_are_not_shared_stand_apart_and_shared_ones_are_paired(runs):
    write(runs / "co2l", result("co2l", 0, order=2))
    assert sorted(len(t.rows) for t in compared(runs).tables) == [1, 2]
    write(runs / "lwf-x", result("lwf", 0, order=2, last=0.9))
    (table,) = compared(runs).tables
    rows = {row.name: row for row in table.rows}
    assert rows["lwf"].contrast.estimate.n == 4 and rows["lwf"].estimate.n == 5
    assert rows["co2l"].contrast is None
    assert any("Of lwf there are 5 blocks, of finetune 4" in note for note in table.notes)


def test_seeds_and_orders_that_are_crossed_have_the_error_of_both(tmp_path):
    values = np.random.default_rng(0).uniform(0.3, 0.6, (2, 3, 2))
    for k, recipe in enumerate(("lwf", "finetune")):
        for seed in range(3):
            for order in range(2):
                last = values[k, seed, order]
                write(tmp_path / f"{recipe}{seed}{order}", result(recipe, seed, order, last=last))
    (table,) = compared(tmp_path).tables
    (contrast,) = table.contrasts
    of_seeds, _, rest = twin.mean_squares((100 * (values[0] - values[1])).tolist())
    sign = 1 if contrast.a == "lwf" else -1
    assert contrast.estimate.mean * sign == pytest.approx(100 * (values[0] - values[1]).mean())
    assert contrast.parts.rest == pytest.approx(rest) and contrast.estimate.crossed
    assert contrast.parts.seed == pytest.approx(max((of_seeds - rest) / 2, 0))


def test_a_difference_that_is_sure_and_small_is_called_both(tmp_path):
    for seed in range(6):
        write(tmp_path / f"a{seed}", result("lwf", seed, last=0.503 + 0.0001 * seed))
        write(tmp_path / f"b{seed}", result("finetune", seed, last=0.5))
    (table,) = compared(tmp_path).tables
    assert table.rows[0].contrast.verdict == "better (within 0.5)"
    (table,) = compared(tmp_path, margin=0.2).tables
    assert table.rows[0].contrast.verdict == "better"


def test_settings_that_differ_between_tables_alone_are_in_no_name(tmp_path):
    for k, rate in enumerate((0.1, 0.01)):
        data = result("lwf", 0)
        data["config"]["setup"]["training"]["lr"] = rate
        data["data"]["content"] = f"{k}" * 64
        write(tmp_path / f"{k}", data)
    assert [row.name for t in compared(tmp_path).tables for row in t.rows] == ["lwf", "lwf"]


def test_holm_is_over_the_contrasts_that_were_named(runs):
    for seed, last in enumerate((0.5, 0.53, 0.51, 0.56)):
        write(runs / f"ida-{seed}", result("ida", seed, last=last))
    (table,) = compared(runs).tables
    (named,) = compared(runs, contrasts=[("ida", "lwf")]).tables
    p = {c.a: c.estimate.p for c in table.contrasts}
    assert [c.p_holm for c in table.contrasts] == pytest.approx(
        twin.holm([p[c.a] for c in table.contrasts])
    )
    assert [(c.a, c.b) for c in named.contrasts] == [("ida", "lwf")]
    assert named.contrasts[0].p_holm == pytest.approx(named.contrasts[0].estimate.p)
    assert {row.contrast.verdict for row in named.rows if row.contrast} == {"not asked beforehand"}


def test_less_forgetting_is_better_and_equal_is_same(tmp_path):
    for seed in range(4):
        write(tmp_path / f"a{seed}", result("lwf", seed, last=0.6 + 0.01 * seed))
        write(tmp_path / f"b{seed}", result("finetune", seed, last=0.2 + 0.012 * seed))
        write(tmp_path / f"c{seed}", result("ida", seed, last=0.2 + 0.0121 * seed))
    (table,) = compared(tmp_path, metric="forgetting").tables
    verdicts = {row.name: row.contrast.verdict for row in table.rows if row.contrast}
    assert table.rows[0].name == "lwf" and verdicts["lwf"] == "better"
    (table,) = compared(tmp_path, metric="forgetting", margin=0.5).tables
    assert {r.name: r.contrast and r.contrast.verdict for r in table.rows}[
        "ida"
    ] == "same within 0.5"


def test_every_readout_is_a_row_under_its_protocol(tmp_path):
    data = result("co2l", 0)
    data["readouts"]["probe"] = data["readouts"]["head"] | {"protocol": "auxiliary(200)"}
    write(tmp_path / "a", data)
    cells, _ = read_runs([tmp_path], "all")
    assert sorted((c.readout, c.protocol) for c in cells) == [
        ("head", "strict"), ("probe", "auxiliary(200)"),
    ]  # fmt: skip
    assert [c.readout for c in read_runs([tmp_path], "probe")[0]] == ["probe"]


def test_formats_say_the_same(runs):
    comparison = compared(runs)
    lines = list(csv.DictReader(io.StringIO(FORMATS["csv"](comparison))))
    data = json.loads(FORMATS["json"](comparison))
    assert [line["method"] for line in lines] == ["lwf", "finetune"]
    row = data["tables"][0]["rows"][0]
    assert float(lines[0]["difference"]) == pytest.approx(row["difference"]) == pytest.approx(32.5)
    assert row["blocks"][0]["folder"].endswith("lwf-0") and row["sign_flip_floor"] == 0.125
    for form in ("markdown", "latex"):
        text = FORMATS[form](comparison)
        assert "lwf" in text and "+32.5" in text and "cannot give a p below 0.12" in text


def test_a_name_is_no_markup_and_no_formula(tmp_path):
    for seed in range(2):
        write(tmp_path / f"{seed}", result("=1+1|\x1b[31m%_", seed))
    comparison = compared(tmp_path)
    assert "'=1+1|\\x1b[31m%_" in FORMATS["csv"](comparison)
    assert "=1+1\\|\\x1b" in FORMATS["markdown"](comparison)
    assert "\\%\\_" in FORMATS["latex"](comparison)
    assert all("\x1b" not in write_(comparison) for write_ in FORMATS.values())


# the command


def test_the_command_prints_and_writes(runs, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    shown = ended(capsys, "compare", runs, code=0)
    assert "+32.5 ±" in shown and "cannot give a p below 0.12" in shown and "better" in shown
    for name in ("t.csv", "t.md", "t.tex", "t.json", "t.txt"):
        assert "written" in ended(capsys, "compare", runs, "--out", runs / name, code=0)
        assert "lwf" in (runs / name).read_text()
    assert "exists already" in ended(capsys, "compare", runs, "--out", runs / "t.csv")
    assert "does not say a format" in ended(capsys, "compare", runs, "--out", runs / "t.x")


def test_what_cannot_be_compared_is_one_sentence(runs, capsys):
    assert "does not exist" in ended(capsys, "compare", runs / "none")
    (runs / "empty").mkdir()
    assert "no complete run" in ended(capsys, "compare", runs / "empty")
    assert "did you mean 'lwf'" in ended(capsys, "compare", runs, "--baseline", "lfw")
    assert "did you mean 'final'" in ended(capsys, "compare", runs, "--metric", "finl")
    assert "is no pair" in ended(capsys, "compare", runs, "--contrast", "lwf")
    assert "above 0" in ended(capsys, "compare", runs, "--margin", "0")
    assert "unknown name for --across" in ended(capsys, "compare", runs, "--across", "seed")


def test_results_that_are_damaged_or_of_another_version_are_named(runs, capsys):
    file = runs / "bad" / "result.json"
    write(file.parent, result() | {"format": 99})
    assert "has format 99" in ended(capsys, "compare", runs)
    file.write_text('{"recipe": ')
    assert "bad/result.json cannot be read" in ended(capsys, "compare", runs)
    file.write_text("[" * 100_000)
    assert "cannot be read" in ended(capsys, "compare", runs)
    file.write_text("[1]")
    assert "is no result of holdfast run" in ended(capsys, "compare", runs)
    data = result("lwf", 9)
    del data["config"]["setup"]["training"]
    write(file.parent, data)
    assert "lacks what a comparison needs (KeyError: 'training')" in ended(capsys, "compare", runs)
    data = result("lwf", 9)
    data["readouts"]["head"]["by_task"] = ["nll"]
    write(file.parent, data)
    assert "by_task is no list of figures" in ended(capsys, "compare", runs)
    assert "by_task is no list of figures" in ended(capsys, "report", runs, "-o", runs / "r.html")
    assert not (runs / "r.html").exists()
    data = result("lwf", 9, last=[0.5, math.nan, 0.5])
    write(file.parent, data)
    assert "class_il of task 2 after task 3 is no number" in ended(capsys, "compare", runs)


def test_runs_that_stopped_are_left_out_by_name(runs, capsys):
    write(runs / "half", result("lwf", 9) | {"status": "stopped: interrupted"})
    assert "1 run is not complete and left out" in ended(capsys, "compare", runs, code=0)
    assert "1 run is not complete" in ended(capsys, "compare", runs / "half")


def test_the_same_run_twice_counts_once_and_another_is_refused(runs, capsys):
    write(runs / "copy", result("lwf", 0, last=LASTS["lwf"][0]))
    assert "count once: lwf" in ended(capsys, "compare", runs, code=0)
    write(runs / "copy", result("lwf", 0, last=0.9))
    assert "their figures differ: leave one of them out" in ended(capsys, "compare", runs)


def test_a_result_of_the_first_format_is_read(runs):
    data = result("lwf", 0, last=0.4)
    del data["format"], data["data"]["content"], data["readouts"]["head"]["right_task"]
    write(runs / "old", data)
    cells, _ = read_runs([runs / "old"])
    assert cells[0].right_task is None and "ffffffff" in cells[0].place["data"]
    assert math.isnan(figures_of(cells[0])["right_task"])


def test_five_streams_are_enough_for_ranks_and_two_are_not(tmp_path):
    for stream in range(5):
        for recipe, last in (("lwf", 0.6), ("finetune", 0.3)):
            for seed in range(2):
                data = result(recipe, seed, last=last + 0.01 * seed)
                data["data"]["content"] = f"{stream}" * 64
                write(tmp_path / f"{stream}" / f"{recipe}{seed}", data)
    assert "Mean ranks over 5 streams: lwf 1.00, finetune 2.00" in " ".join(
        compared(tmp_path).notes
    )
    few = compare(read_runs([tmp_path / "0", tmp_path / "1"])[0])
    assert any("2 streams are too few" in note for note in few.notes)
