import io
import re
from dataclasses import replace

import pytest
import torch
from rich.console import Console

from holdfast.memory.meter import Holdings
from holdfast.metrics.accuracy import Accuracy
from holdfast.report.table import finished, kept, label, shorten, summary
from holdfast.train.result import Reading, Result, TaskNote

HELD = Holdings(0, 16640, 133120, 309000, 1236000)


def made(tasks=3, done=None, classes=2, seed=0):
    done = tasks if done is None else done
    generator = torch.Generator().manual_seed(seed)

    def accuracy():
        matrix = 0.1 + 0.8 * torch.rand(tasks, tasks, generator=generator)
        matrix[torch.ones(tasks, tasks).triu(1).bool()] = torch.nan
        matrix[done:] = torch.nan
        return Accuracy(matrix, torch.arange(10, 10 + tasks))

    names = [f"name{c}" for c in range(classes * tasks)]
    groups = [list(range(classes * t, classes * t + classes)) for t in range(tasks)]
    notes = [TaskNote([names[c] for c in g], 100, 5, 20.4, 0, HELD) for g in groups[:done]]
    readings = {"prototype": Reading("strict", accuracy(), accuracy())}
    data = {"stream": "shapes", "classes": names, "tasks": groups}
    status = "complete" if done == tasks else "stopped"
    return Result("fnc2", "strict", "prototype", readings, notes, data, status=status)


def shown(result, width=80, folder=None):
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(summary(result, folder))
    return console.export_text()


def numbers(line):
    return [float(x) for x in re.findall(r"(?<=\s)-?\d+(?:\.\d+)?(?=\s|$)", line)]


def percents(values, digits=1):
    return [round(100 * float(v), digits) for v in values]


def row(text, start):
    return next(line for line in text.splitlines() if line.startswith(start))


def test_the_heading_names_protocol_and_readout():
    text = shown(made())
    assert "fnc2 on shapes" in text
    assert "protocol strict, readout prototype" in text
    assert "3 tasks, complete, 1 min 01 s" in text


@pytest.mark.parametrize("tasks", [1, 2, 4])
def test_both_matrices_stand_side_by_side_while_they_fit(tasks):
    result = made(tasks)
    text = shown(result)
    for i in range(tasks):
        pair = [[*a.matrix[i, : i + 1], a.after(i)] for a in (result.class_il, result.task_il)]
        assert numbers(row(text, f"{i + 1}: name")) == percents([*pair[0], *pair[1]])


def test_ten_tasks_show_class_il_in_full_and_task_il_as_a_column():
    result = made(10)
    text = shown(result)
    for i in range(10):
        wanted = [*result.class_il.matrix[i, : i + 1], result.class_il.after(i)]
        wanted.append(result.task_il.after(i))
        assert numbers(row(text, f"{i + 1}: name")) == percents(wanted)


def test_twenty_tasks_fit_in_80_columns_without_decimals():
    result = made(20, classes=5)
    text = shown(result).split("Class-IL, rounded")[1]
    a, b = result.class_il, result.task_il
    for i in range(20):
        line = row(text, f"{i + 1} ")
        wanted = [i + 1, *percents([*a.matrix[i, : i + 1], a.after(i)], 0), *percents([b.after(i)])]
        assert numbers(" " + line) == wanted


def test_a_matrix_wider_than_the_terminal_becomes_one_row_a_task():
    result = made(40)
    text = shown(result)
    a, b = result.class_il, result.task_il
    for j in range(40):
        wanted = [a.matrix[j, j], a.matrix[-1, j], a.after(j), b.matrix[-1, j]]
        assert numbers(row(text, f"{j + 1}: name")) == percents(wanted)


def test_the_figures_are_those_of_the_matrices():
    result = made()
    text = shown(result).split("backward transfer")[1]
    for name, a in (("Class-IL", result.class_il), ("Task-IL", result.task_il)):
        wanted = percents([a.final, a.average, a.forgetting, a.backward_transfer])
        assert numbers(row(text, name)) == wanted


def test_undefined_figures_are_a_dash():
    line = row(shown(made(1)).split("backward transfer")[1], "Class-IL")
    assert line.split()[-2:] == ["-", "-"]


def test_a_stopped_run_reports_what_it_reached_and_says_so():
    whole, part = made(5), made(5, done=3)
    part.readings["prototype"].class_il.matrix[:3] = whole.class_il.matrix[:3]
    text = shown(part)
    assert finished(part.class_il) == 3
    assert "3 of 5 tasks, stopped" in text
    assert "percent, after 3 of 5 tasks" in text
    reached = Accuracy(whole.class_il.matrix[:3, :3], whole.class_il.sizes[:3])
    wanted = [reached.final, reached.average, reached.forgetting, reached.backward_transfer]
    assert numbers(row(text.split("backward transfer")[1], "Class-IL")) == percents(wanted)
    assert "nan" not in text


def test_a_run_that_finished_no_task_still_has_a_heading():
    text = shown(made(3, done=0), folder="runs/a")
    assert "0 of 3 tasks" in text
    assert "folder: runs/a" in text


def test_each_further_readout_has_a_row_with_its_own_protocol():
    result = made()
    other = made(seed=1).readings["prototype"]
    result.readings["linear probe"] = replace(other, protocol="auxiliary(200)")
    line = row(shown(result), "linear probe")
    assert "auxiliary(200)" in line
    c, t = other.class_il, other.task_il
    assert numbers(line) == percents([c.final, c.average, c.forgetting, t.final])


def test_the_memory_is_told_in_words():
    whole = "past network 309,000 weights (1.2 MiB), named apart"
    assert kept(HELD) == f"0 images, 16,640 statistics (130 KiB); {whole}"
    assert kept(Holdings(1, 0, 3080)) == "1 image, 0 statistics (3.0 KiB); no past network"
    assert "kept: 0 images, 16,640 statistics (130 KiB);" in shown(made())


@pytest.mark.parametrize("width", [60, 80, 100, 200])
@pytest.mark.parametrize("tasks", [1, 3, 5, 7, 12, 20, 30])
def test_no_line_is_wider_than_the_terminal_and_no_number_is_cut(tasks, width):
    result = made(tasks, classes=3)
    text = shown(result, width, "runs/fnc2")
    assert max(map(len, text.splitlines())) <= width
    assert not re.search(r"\d…", text.replace("name", ""))
    assert f"{100 * result.class_il.final:.1f}" in text


def test_names_are_text_and_no_markup_or_control_codes():
    result = made(2)
    result.data = result.data | {"classes": ["[red]a[/red]", "b\x1b[2Jc", "猫", "d\ne"]}
    text = shown(result)
    assert "[red]a[/red]" in text
    assert "b?[2Jc" in text
    assert "2: 猫, d e" in text


def test_names_are_counted_when_they_do_not_fit():
    assert shorten(["cat", "deer", "dog"], 30) == "cat, deer, dog"
    assert shorten(["cat", "deer", "dog"], 13) == "cat, deer, +1"
    assert shorten(["rhinoceros"], 6) == "rhino…"
    assert shorten([], 6) == ""
    assert label(4, [[]] * 5, 20) == "5"
    assert label(0, [["cat", "deer"]], 4) == "1"


def test_drift_and_calibration_of_the_reported_readout_are_a_line_each():
    result = made()
    assert "residual" not in shown(result) and "calibration" not in shown(result)
    reading = replace(
        result.readings["prototype"],
        drift_residuals=[0.123, None],
        drift_forecasts=[0.456, None],
        calibration_error=0.0567,
    )
    result.readings = {"prototype": reading}
    text = shown(result)
    assert "drift residual 0.12, -" in text and "drift forecast 0.46, -" in text
    assert "expected calibration error 5.7" in text


def test_forecasts_that_never_were_are_not_shown():
    result = made()
    reading = replace(result.readings["prototype"], drift_residuals=[0.123], drift_forecasts=[None])
    result.readings = {"prototype": reading}
    assert "drift residual 0.12" in shown(result) and "forecast" not in shown(result)


def test_a_long_name_of_a_readout_is_never_cut():
    result = made()
    name = "class-gaussian:structure=low_rank:rank=16:drift=translation:tukey=0.5"
    result.readings[name] = result.readings["prototype"]
    text = shown(result, width=60)
    folded = "".join(line.split()[0] for line in text.splitlines() if line.strip())
    assert name in folded
