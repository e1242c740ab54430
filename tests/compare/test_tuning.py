"""Tuning: what it may look at, that it goes on where it stopped, and that a comparison says so."""

import json
from pathlib import Path

import pytest

from holdfast.cli import main
from holdfast.compare import Grid, compare, read_runs, run_grid
from holdfast.compare.arrival import Data
from holdfast.compare.page import page_of
from holdfast.compare.tuned import read_tuned
from holdfast.compare.tuning import BLOCK, Tuning, tune
from holdfast.core.errors import ConfigError, DivergedError, StoreError
from holdfast.recipes import RECIPES
from holdfast.recipes.search import Search, searched
from holdfast.stream import open_source

DATA = Data("digits", tasks=5, per_class=10, test_per_class=5)
FAST = {"epochs": 1, "width": 4}


@pytest.fixture
def optuna():
    return pytest.importorskip("optuna", reason="needs the extra tune")


def test_every_search_holds_the_default_and_parameters_are_numbers():
    import inspect

    marked = {name: searched(recipe) for name, recipe in RECIPES.items()}
    assert {"weight", "T"} == set(marked["lwf"]) and "gamma" in marked["fnc2"]
    for name, spaces in marked.items():
        defaults = inspect.signature(RECIPES[name]).parameters
        for parameter, space in spaces.items():
            assert space.low <= defaults[parameter].default <= space.high, (name, parameter)
    for ends in ((1.0, 1.0, False), (0.0, 1.0, True), (0.0, float("inf"), False)):
        with pytest.raises(ConfigError):
            Search(*ends)


def test_tuning_sees_the_first_tasks_and_no_test_image():
    stream, preset = Tuning("lwf", DATA).prepared()
    whole = open_source("digits")
    tests = {row.numpy().tobytes() for row in whole.test_x}
    assert len(stream) == 2 and len(stream.names) == 4 and preset.name == "quick"
    rows = [row for task in stream for part in (task.train, task.test) for row in part.x]
    assert not tests & {row.numpy().tobytes() for row in rows}
    assert [len(task.test) for task in stream] == [4, 4]
    assert stream.order[:4] != tuple(range(4)), f"an order of its own: {BLOCK}"
    with pytest.raises(ConfigError, match="first tasks"):
        Tuning("lwf", DATA, first=5).prepared()


def test_a_search_that_is_stopped_goes_on_and_begins_with_the_defaults(
    optuna, tmp_path, monkeypatch
):
    tuning, seen = Tuning("lwf", DATA, settings=FAST), []

    def watch(number, score, chosen):
        seen.append((number, score, dict(chosen)))

    from holdfast.compare import tuning as room

    honest, calls = room.run, []

    def run(*arguments):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        if len(calls) == 3:
            raise DivergedError("too fast")
        return honest(*arguments)

    monkeypatch.setattr(room, "run", run)
    with pytest.raises(KeyboardInterrupt):
        tune(tuning, tmp_path / "t", 3, watch)
    tuned = tune(tuning, tmp_path / "t", 3, watch)
    assert [(number, score is None) for number, score, _ in seen] == [
        (1, False), (2, True), (3, False),
    ]  # fmt: skip
    assert (seen[0][2]["weight"], seen[0][2]["T"]) == (1.0, 2.0) and len(calls) == 4
    assert tuned.score == max(score for _, score, _ in seen if score is not None)
    assert tuned == read_tuned(tmp_path / "t" / "tuned.json") and "first 2 tasks" in tuned.protocol
    with pytest.raises(ConfigError, match="another protocol"):
        tune(Tuning("lwf", DATA, first=3, settings=FAST), tmp_path / "t", 3)
    with pytest.raises(ConfigError, match="at least one trial"):
        tune(tuning, tmp_path / "t", 0)


def test_a_grid_takes_what_was_tuned_and_the_table_says_by_how_many_trials(
    optuna, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    words = ["--trials", "2", "--per-class", "10", "--set", "epochs=1", "--set", "width=4"]
    assert main(["tune", "lwf", "--out", "t", *words]) == 0
    shown = capsys.readouterr().out
    assert "1/2  Class-IL" in shown and "weight 1, T 2" in shown and "grid --tuned t" in shown
    tuned = read_tuned("t/tuned.json")
    grid = Grid(
        ["lwf", "finetune"], tasks=2, per_class=5, tuned=[tuned],
        settings={"epochs": [1], "width": [4]},
    )  # fmt: skip
    sweep = run_grid(grid, "g", workers=1)
    (job,) = (job for job in sweep.jobs if job.recipe == "lwf")
    assert job.parameters["weight"] == tuned.parameters["weight"]
    assert job.overrides["lr"] == tuned.overrides["lr"]
    rows = {row.name: row for row in compare(read_runs(["g"])[0]).tables[0].rows}
    assert rows["lwf"].trials == 2 and rows["finetune"].trials is None
    assert main(["compare", "g"]) == 0
    assert "Trials of tuning: lwf 2; the others do not say." in " ".join(
        capsys.readouterr().out.split()
    )
    page = page_of(compare(read_runs(["g"])[0]))
    assert "<li>Trials of tuning: lwf 2; the others do not say.</li>" in page
    assert "2 trials: final Class-IL of the first 2 tasks of digits" in page
    kept = [json.loads(file.read_text()) for file in Path("g").rglob("result.json")]
    assert [data["config"]["tuning"]["trials"] for data in kept if data["recipe"] == "lwf"] == [2]


def test_a_file_that_is_no_tuning_is_refused(tmp_path):
    for text in ("{", "[]", "{}", json.dumps({"format": 9, "recipe": "lwf"})):
        (tmp_path / "t.json").write_text(text)
        with pytest.raises(StoreError, match=r"is no tuned\.json"):
            read_tuned(tmp_path / "t.json")
