"""Grids: what they ask for, and that nothing is lost or run twice, however they are stopped."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

import holdfast
from holdfast.cli import main
from holdfast.cli.grid import settings_of
from holdfast.compare import Grid, run_grid
from holdfast.compare.sweep import Sweep, is_complete
from holdfast.compare.work import Outcome
from holdfast.core.errors import ConfigError, StoreError
from holdfast.diagnose.report import read_diagnosis
from holdfast.recipes.presets import find_preset
from holdfast.recipes.strict import DECIDE
from holdfast.store.lock import locked

PLUGIN = '''
import multiprocessing, os, signal
from dataclasses import replace
from pathlib import Path
from holdfast.recipes import make, register
from holdfast.stream.catalogue import register as register_source
from holdfast.testing.streams import small_source

@register_source("tiny_textures")
def tiny_textures():
    """Six gratings."""
    return small_source(each=12, tests=6)

@register("dies_once")
def dies_once(marker: str = ""):
    """Ends its process the first time it is made in one of a pool."""
    if multiprocessing.parent_process() is not None and not Path(marker).exists():
        Path(marker).write_text("x")
        os.kill(os.getpid(), signal.SIGKILL)
    return make("finetune")

@register("fails")
def fails(classes: str = "seen"):
    """Cannot be made in a pool."""
    if multiprocessing.parent_process() is not None:
        raise RuntimeError("no\\nway")
    return make("finetune")
'''
QUICK = {"epochs": ["2"], "batch": ["8"], "width": ["4"]}


@pytest.fixture
def plugin(import_parts):
    """A module with a tiny source, gone after the test."""
    return import_parts("grid_parts", PLUGIN)


def grid(**changes):
    return Grid(**({
        "recipes": ["finetune", "lwf"], "streams": ["tiny_textures"], "tasks": 3, "settings": QUICK,
    } | changes))  # fmt: skip


def figures(folder):
    """What a run measured and logged, without its seconds."""
    data = json.loads((folder / "result.json").read_text())
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return data["readouts"], [(one["task"], one["epoch"], one["loss"]) for one in lines]


def test_a_diagnosed_grid_has_the_same_runs_and_what_was_seen_in_each(plugin, tmp_path):
    one = {"recipes": ["lwf"], "tasks": 2}
    for name, diagnose in (("plain", False), ("seen", True)):
        sweep = run_grid(grid(**one, diagnose=diagnose), tmp_path / name, workers=1)
        assert not sweep.failed
    (plain,), (seen,) = ((tmp_path / n / "runs").iterdir() for n in ("plain", "seen"))
    assert plain.name == seen.name and figures(plain) == figures(seen)
    assert not (plain / "diagnostics.json").exists()
    assert [task.task for task in read_diagnosis(seen).tasks] == [0, 1]


def test_a_grid_is_every_combination_named_by_its_hash(plugin):
    jobs = grid(seeds=2, orders=2, settings=QUICK | {"lwf.T": ["1", "4"]}).jobs()
    assert len(jobs) == (1 + 2) * 2 * 2 == len({job.key for job in jobs})
    again = grid(seeds=1, settings=QUICK | {"lwf.T": ["4"]}).jobs()
    assert {job.key for job in again} < {job.key for job in jobs}
    other = grid(seeds=1, settings={"epochs": ["3"], "lwf.T": ["4"]}).jobs()
    assert not {job.key for job in other} & {job.key for job in jobs}
    pairs = grid(pairs=3).jobs()
    assert {(job.seed, job.data.order_seed) for job in pairs} == {(0, None), (1, 1), (2, 2)}
    later = grid(pairs=2, first=2).jobs()
    assert {(job.seed, job.data.order_seed) for job in later} == {(2, 2), (3, 3)}
    assert {job.key for job in pairs} & {job.key for job in later} == {
        job.key for job in pairs if job.seed == 2
    }
    crossed = grid(seeds=2, orders=2, first=5).blocks
    assert crossed == [(5, 5), (5, 6), (6, 5), (6, 6)]
    assert all(job.parameters["T"] == 4.0 for job in again if job.recipe == "lwf")


def test_runs_that_are_read_in_two_ways_are_two_runs(plugin):
    """A readout that a recipe's parameter chooses is no part of the terms, and still tells runs apart."""
    values = [DECIDE, "gaussian:drift=none", "prototype"]
    jobs = grid(recipes=["fnc2_strict"], settings=QUICK | {"fnc2_strict.decide": values}).jobs()
    assert len({job.key for job in jobs}) == 3
    usual = grid(recipes=["fnc2_strict"]).jobs()
    assert {job.key for job in usual} < {job.key for job in jobs}


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"settings": {"lwf.TT": ["1"]}}, "unknown parameter of the recipe lwf .*did you mean 'T'"),
        ({"settings": {"lfw.T": ["1"]}}, "unknown recipe of this grid .*did you mean 'lwf'"),
        ({"settings": {"epoch": ["1"]}}, "unknown setting .*did you mean 'epochs'"),
        ({"settings": {"lwf.T": ["x"]}}, "--set lwf.T cannot be 'x': it must be a number"),
        ({"recipes": ["lfw"]}, "did you mean 'lwf'"),
        ({"streams": ["digts"]}, "did you mean 'digits'"),
        ({"streams": ["a=none/there"]}, "none/there does not exist"),
        ({"recipes": []}, "needs recipes"),
        ({"seeds": 0}, "at least one seed"),
        ({"seeds": 2, "pairs": 2}, "not both"),
    ],
)  # fmt: skip
def test_what_cannot_run_is_refused_before_anything_runs(changes, words, plugin, tmp_path):
    with pytest.raises(ConfigError, match=words):
        run_grid(grid(**changes), tmp_path / "out", workers=1)
    assert not (tmp_path / "out" / "runs").exists()


def test_values_are_read_from_flags():
    with pytest.raises(ConfigError, match="names no values"):
        settings_of(("fnc2.gamma",))
    with pytest.raises(ConfigError, match="there twice"):
        settings_of(("epochs=1", "epochs=2"))


def test_finished_runs_are_skipped_and_a_grid_that_grows_runs_the_rest(plugin, tmp_path):
    first = run_grid(grid(), tmp_path / "out", workers=1)
    assert len(first.outcomes) == 2 and not first.skipped and not first.failed
    stamps = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("result.json")}
    second = run_grid(grid(seeds=2), tmp_path / "out", workers=1)
    assert second.skipped == set(first.outcomes) and len(second.outcomes) == 2
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items())
    assert set(json.loads((tmp_path / "out" / "grid.json").read_text())["cells"]) == {
        job.name for job in second.jobs
    }


def test_a_grid_killed_at_random_and_resumed_has_the_same_figures_and_runs_nothing_twice(
    plugin, tmp_path
):
    methods = ["finetune", "ida"]
    whole = run_grid(grid(recipes=methods, seeds=2), tmp_path / "whole", workers=1)
    script = (
        "from holdfast.core.registry import import_named; import_named('grid_parts.py'); "
        "from holdfast.compare import Grid, run_grid; "
        f"run_grid(Grid({methods!r}, ['tiny_textures'], 2, settings={QUICK!r}, tasks=3), 'cut',"
        " workers=1)"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(holdfast.__file__).parents[1])}
    chance, runs = random.Random(3), tmp_path / "cut" / "runs"
    logged = lambda: sum(len(p.read_text().splitlines()) for p in runs.glob("*/log.jsonl"))
    for lines in (3, 9):
        process = subprocess.Popen([sys.executable, "-c", script], env=environment)
        while logged() < lines and process.poll() is None:
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 0.1))
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    done = {
        p.name: (p / "result.json").stat().st_mtime_ns for p in runs.glob("*") if is_complete(p)
    }
    assert 0 < len(done) < 4
    last = run_grid(grid(recipes=methods, seeds=2), tmp_path / "cut", workers=1)
    assert last.skipped == set(done) and len(last.outcomes) == 4 - len(done)
    assert {n: (runs / n / "result.json").stat().st_mtime_ns for n in done} == done
    for job in whole.jobs:
        assert figures(runs / job.name) == figures(tmp_path / "whole" / "runs" / job.name)


def test_a_pool_replaces_a_process_that_is_killed_and_lists_a_run_that_fails(
    plugin, tmp_path, capfd
):
    marker = tmp_path / "marker"
    words = [
        "grid", "--recipes", f"dies_once:marker={marker},fails,lwf", "--streams", "tiny_textures",
        "--tasks", "3", "--set", "epochs=1", "--set", "batch=8", "--set", "width=4",
        "--workers", "2", "--out", "out",
    ]  # fmt: skip
    assert main(words) == 1
    shown = " ".join("".join(capfd.readouterr()).split())
    assert marker.exists() and "failed: fails-textures" in shown and "RuntimeError: no" in shown
    (file,) = (tmp_path / "out" / "failed").iterdir()
    assert "way" in file.read_text() and "Traceback" in file.read_text()
    assert "dies_once" in shown and "lwf" in shown
    names = {p.name.split("-")[0] for p in (tmp_path / "out" / "runs").iterdir() if is_complete(p)}
    assert names == {"dies_once", "lwf"}
    assert not list((tmp_path / "out").glob(".lock.pid"))


def test_two_grids_in_one_folder_are_refused_and_so_is_a_folder_of_something_else(plugin, tmp_path):
    (tmp_path / "out").mkdir()
    with (
        locked(tmp_path / "out" / ".lock", "it"),
        pytest.raises(StoreError, match=r"the grid in .*out"),
    ):
        run_grid(grid(), tmp_path / "out", workers=1)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "diary.txt").write_text("x")
    with pytest.raises(ConfigError, match="holds no grid"):
        run_grid(grid(), tmp_path / "mine", workers=1)
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["diary.txt"]


def test_a_run_of_a_grid_is_the_run_of_the_command(plugin, tmp_path):
    """Same words, same figures, and one row in a comparison."""
    run_grid(grid(recipes=["lwf"]), tmp_path / "out", workers=1)
    words = ["--stream", "tiny_textures", "--tasks", "3", "--epochs", "2", "--batch", "8"]
    words += ["--width", "4", "--quiet"]
    assert main(["run", "lwf", *words, "--out", "alone"]) == 0
    (folder,) = (tmp_path / "out" / "runs").iterdir()
    assert figures(folder) == figures(tmp_path / "alone")
    from holdfast.compare import compare, read_runs

    (table,) = compare(read_runs([folder, tmp_path / "alone"])[0]).tables
    assert [row.estimate.n for row in table.rows] == [1]
    cell = table.rows[0].lane.cells[0, next(iter(table.rows[0].lane.orders))]
    assert (cell.class_il[-1] <= cell.right_task[-1] + 1e-9).all()


def test_time_left_goes_by_what_runs_of_the_recipe_took(plugin):
    jobs = grid(seeds=2).jobs()
    sweep = Sweep(jobs, workers=2)
    assert sweep.left() is None
    by = {(job.recipe, job.seed): job.name for job in jobs}
    sweep.outcomes = {
        by["lwf", 0]: Outcome(by["lwf", 0], 0.5, 4.0),
        by["finetune", 0]: Outcome(by["finetune", 0], 0.5, 2.0),
    }
    sweep.shares[by["lwf", 1]] = 0.5
    assert sweep.left() == pytest.approx((4.0 * 0.5 + 2.0) / 2)


def test_a_preset_limits_the_images_of_a_class_as_in_a_run(monkeypatch):
    preset = replace(find_preset("quick"), per_class=7, test_per_class=3)
    monkeypatch.setattr("holdfast.compare.plan.find_preset", lambda *_: preset)
    asked = {
        (7, 3): {},
        (5, 3): {"per_class": 5},
        (0, 2): {"per_class": 0, "test_per_class": 2},
    }
    for limits, settings in asked.items():
        (job,) = Grid(["finetune"], **settings).jobs()
        assert (job.data.per_class, job.data.test_per_class) == limits
