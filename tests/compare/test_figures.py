"""Figures of one run beyond its last row: uneven and recurring tasks, the joint bound, belief."""

import math

import pytest

import reference_compare as twin
from holdfast.cli import main
from holdfast.compare.comparison import compare
from holdfast.compare.figures import figures_of, last_learned
from holdfast.compare.runs import cells_of, read_runs
from written import result, write

TRUST = {
    "nll": 1.5, "brier": 0.75, "adaptive_calibration_error": 0.2, "calibration_floor": 0.03,
    "calibration_error_old": 0.3, "calibration_error_new": 0.1, "oscr": 0.4, "fpr_at_known95": 0.9,
    "fpr_at_unknown95": 0.8, "average_precision": 0.6, "unknown_share": 0.5,
}  # fmt: skip


def believed(recipe="lwf", seed=0, **options):
    """A result as runs write it today, with figures after each task."""
    data = result(recipe, seed, **options)
    values = [TRUST | {"auroc": v} for v in (0.9, 0.7, None)]
    data["readouts"]["head"]["by_task"] = values
    return data


def cell_with(tasks, folder, scenario="class", **options):
    data = result(**options)
    data["data"] |= {"tasks": tasks, "scenario": scenario}
    return cells_of(folder, data)[0]


@pytest.mark.parametrize("weighting", ["mean_images", "mean_tasks"])
@pytest.mark.parametrize("tasks", [[[0], [1, 2, 3], [4, 5]], [[0, 1], [2], [0, 3]]])
def test_uneven_steps_may_count_by_the_classes_they_bring(tasks, weighting, tmp_path):
    cell = cell_with(tasks, tmp_path, last=[0.75, 0.6, 0.3])
    weights = [10, 20, 30] if weighting == "mean_images" else [1, 1, 1]
    rows = [row[: i + 1] for i, row in enumerate(cell.class_il.tolist())]
    ours = figures_of(cell, weighting)
    assert ours["average"] == pytest.approx(twin.average(rows, weights))
    by_classes = twin.average_by_classes(rows, weights, tasks)
    assert ours["average_by_classes"] == pytest.approx(by_classes) != ours["average"]


@pytest.mark.parametrize("variant", ["max_before", "max_all", "first"])
@pytest.mark.parametrize("tasks", [[[0, 1], [2, 3], [0, 4]], [[0, 1], [1, 2], [3]]])
def test_a_class_that_comes_again_is_forgotten_from_then_on(tasks, variant, tmp_path):
    cell = cell_with(tasks, tmp_path, last=[0.75, 0.6, 0.3])
    rows = [row[: i + 1] for i, row in enumerate(cell.class_il.tolist())]
    slow = twin.forgetting_of_recurring(rows, [10, 20, 30], variant, tasks)
    assert figures_of(cell, forgetting=variant)["forgetting"] == pytest.approx(slow)


def test_other_scenarios_have_no_class_that_comes_again(tmp_path):
    cell = cell_with([[0, 1]] * 3, tmp_path, scenario="domain", last=[0.75, 0.6, 0.3])
    assert last_learned(cell) == [0, 1, 2] and not math.isnan(figures_of(cell)["forgetting"])
    all_again = cell_with([[0, 1], [1], [0, 1]], tmp_path)
    assert math.isnan(figures_of(all_again)["forgetting"])


def test_intransigence_is_to_the_joint_run_of_the_same_block(tmp_path, capsys):
    for seed in range(2):
        write(tmp_path / f"l{seed}", result("lwf", seed, last=[0.5, 0.5, 0.4 + 0.1 * seed]))
        data = result("joint", seed, last=[0.8, 0.8, 0.95])
        data["readouts"]["head"]["protocol"] = "joint"
        write(tmp_path / f"j{seed}", data)
    write(tmp_path / "alone", result("lwf", 2))
    rows = {row.name: row for t in compare(read_runs([tmp_path])[0]).tables for row in t.rows}
    assert math.isnan(
        rows["lwf"].figures["intransigence"]
    )  # of one of its blocks there is no joint run
    (tmp_path / "alone" / "result.json").unlink()
    rows = {row.name: row for t in compare(read_runs([tmp_path])[0]).tables for row in t.rows}
    expected = ((0.95 - 0.4) * 30 + (0.95 - 0.5) * 30) / 60 / 2
    assert rows["lwf"].figures["intransigence"] == pytest.approx(expected)
    assert rows["joint"].figures["intransigence"] == 0
    assert main(["compare", str(tmp_path)]) == 0
    assert "to the joint run of the same seed and order" in " ".join(
        capsys.readouterr().out.split()
    )


def test_belief_is_of_the_end_and_the_unknown_of_every_task_before_it(tmp_path):
    (cell,) = cells_of(tmp_path, believed())
    ours = figures_of(cell)
    assert {name: ours[name] for name in TRUST} == pytest.approx(TRUST)
    assert ours["auroc"] == pytest.approx(0.8)
    (older,) = cells_of(tmp_path, result())
    assert all(math.isnan(figures_of(older)[name]) for name in (*TRUST, "auroc"))


def test_what_is_stored_is_that_of_the_readout(tmp_path):
    data = result()
    reading = data["readouts"]["head"]
    data["readouts"]["mean"] = reading | {"protocol": "strict"}
    data["memory"] |= {"images": 200, "bytes": 500}
    (older,) = cells_of(tmp_path, data, "mean")
    assert older.stored["images"] == 0 and math.isnan(older.stored["bytes"])
    (reported,) = cells_of(tmp_path, data, "head")
    assert reported.stored["images"] == 200 and reported.stored["bytes"] == 500
    own = {"images": 0, "floats": 7, "bytes": 28, "past_floats": 3, "past_bytes": 12}
    data["readouts"]["mean"] |= {"stored": own}
    (cell,) = cells_of(tmp_path, data, "mean")
    assert cell.stored == {"images": 0, "floats": 7, "bytes": 28, "past_bytes": 12}


def test_they_are_columns_where_a_run_has_them_and_can_be_compared(tmp_path, capsys):
    for seed in range(2):
        write(tmp_path / f"f{seed}", result("finetune", seed))
    assert main(["compare", str(tmp_path), "--format", "markdown"]) == 0
    assert "AUROC" not in capsys.readouterr().out
    for seed in range(2):
        write(tmp_path / f"l{seed}", believed("lwf", seed))
    assert main(["compare", str(tmp_path), "--metric", "nll"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "AUPR 50.0" in out and "'floor' is" in out
    assert main(["compare", str(tmp_path), "--format", "markdown"]) == 0
    out = capsys.readouterr().out
    assert (
        "| lwf | 3.0 | 20.0 | 30.0 | 10.0 | 1.50 | 0.750 | 80.0 | 60.0 | 90.0 | 80.0 | 40.0 |"
        in out
    )
    assert "| finetune | – | – |" in out
