"""A run that is diagnosed: the same bits as without, and what its folder then says."""

import json
import math
from dataclasses import replace

import pytest
import torch

from holdfast.core.errors import ConfigError, StoreError
from holdfast.core.settings import Machine, Network, Training
from holdfast.diagnose import FIGURES, NAME, Diagnoser, diagnose, read_diagnosis
from holdfast.diagnose.afterwards import diagnose_folder
from holdfast.recipes import make
from holdfast.store import RunFolder
from holdfast.testing import small_stream
from holdfast.train.events import TaskDone
from holdfast.train.runner import Run
from holdfast.train.setup import Setup

QUICK = Setup(Training(epochs=1, batch=16, lr=0.05), Network(width=4), Machine("cpu"))
CHANCE = ("fnc2_strict", "lwf", "er")


def a_run(recipe="lwf", stream=None):
    method = make(recipe)
    setup = replace(QUICK, protocol=None)
    run = Run(method, stream or small_stream(), setup)
    run.result.config = run.config | {"recipe": {}}
    return run


def carried_out(folder, recipe="lwf", stream=None, stop=None, diagnosed=True):
    """A run in a folder, perhaps stopped after a task, perhaps taken up there."""
    run, store = a_run(recipe, stream), RunFolder(folder, resume=True, pictures=False)
    if store.state is not None:
        run.restore(store.state)
    diagnoser = Diagnoser(run.stream, folder, done=run.progress.task) if diagnosed else None
    for event in run.events():
        store(event)
        if diagnoser is not None:
            diagnoser(run, event)
        if run.result.status != "complete":
            store.keep(run.state, must=True)
        if isinstance(event, TaskDone) and event.task == stop:
            break
    return run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("diagnosed") / "run"
    carried_out(path, "fnc2_strict")
    return path


@pytest.mark.parametrize("recipe", CHANCE)
def test_a_diagnosis_changes_no_bit(recipe):
    plain, watched = a_run(recipe), a_run(recipe)
    for _ in plain.events():
        pass
    torch.manual_seed(5)
    before = torch.get_rng_state()
    diagnoser = Diagnoser(watched.stream)
    for event in watched.events():
        modes = [m.training for m in watched.learner.modules()]
        diagnoser(watched, event)
        assert [m.training for m in watched.learner.modules()] == modes
    assert torch.equal(torch.get_rng_state(), before)
    for name, weight in plain.learner.state_dict().items():
        assert torch.equal(weight, watched.learner.state_dict()[name]), name
    first, second = plain.result.to_dict(), watched.result.to_dict()
    for key in ("class_il", "task_il", "protocol", "memory"):
        assert first[key] == second[key]
    assert first["readouts"] == second["readouts"]


def test_diagnostics_are_json_with_every_figure_or_its_reason(folder):
    data = json.loads((folder / NAME).read_text(), parse_constant=pytest.fail)
    assert data["format"] == 1 and data["seconds"] > 0
    assert data["watched"]["rows"] == 60 and data["watched"]["per_class"] == 100
    assert data["explain"].keys() == FIGURES.keys()
    assert {e["better"] for e in data["explain"].values()} <= {"up", "down", "none"}
    assert [task["task"] for task in data["tasks"]] == [0, 1, 2]
    for task in data["tasks"]:
        assert task["figures"].keys() == FIGURES.keys()
        missing = {name for name, value in task["figures"].items() if value is None}
        assert missing == task["reasons"].keys() and all(task["reasons"].values())
    last = data["tasks"][-1]["figures"]
    there = (
        "nc1",
        "alignment",
        "invasion",
        "probe_then",
        "cka",
        "stationarity",
        "sharpness",
        "overlap",
    )
    assert [name for name in there if last[name] is None] == []


def test_pictures_of_all_tasks_have_the_axes_of_the_last(folder):
    tasks = json.loads((folder / NAME).read_text())["tasks"]
    for task in tasks:
        plane, seen = task["embedding"], 20 * (task["task"] + 1)
        assert len(plane["points"]) == len(plane["labels"]) == seen
        assert len(plane["prototypes"]) == len(plane["prototype_labels"]) == 2 * (task["task"] + 1)
        assert 0 < plane["explained"] <= 1
    first, second = (t["embedding"]["prototypes"] for t in tasks[-2:])
    assert second[: len(first)] == first  # prototypes stay, and so do the axes


def test_a_resumed_run_is_diagnosed_as_one_in_one_go(folder, tmp_path):
    carried_out(tmp_path / "run", "fnc2_strict", stop=1)
    carried_out(tmp_path / "run", "fnc2_strict")
    whole, halves = (read_diagnosis(path) for path in (folder, tmp_path / "run"))
    assert [t.figures for t in halves.tasks] == [t.figures for t in whole.tasks]
    assert [t.verdicts for t in halves.tasks] == [t.verdicts for t in whole.tasks]


def test_afterwards_what_was_seen_along_with_the_run_is_used(folder, tmp_path):
    before = read_diagnosis(folder)
    again, notes = diagnose_folder(folder, small_stream())
    assert notes == [] and len(again.tasks) == 3
    for name, value in before.tasks[-1].figures.items():
        other = again.tasks[-1].figures[name]
        assert (value is None) == (other is None), name
        if name in ("nc1", "probe_then", "cka", "sharpness", "overlap", "two_nn"):
            assert other == pytest.approx(value, rel=1e-4)
    with pytest.raises(ConfigError, match="leave --per-class as it was"):
        diagnose_folder(folder, small_stream(), per_class=4)


def test_without_earlier_networks_the_last_alone_is_looked_at(tmp_path):
    run = tmp_path / "run"
    carried_out(run, "lwf", diagnosed=False)
    some, notes = diagnose_folder(run, small_stream())
    assert [task.task for task in some.tasks] == [2]
    assert "only the network after task 3 is kept" in notes[0] and "cka" in some.tasks[0].reasons
    assert some.tasks[0].figures["nc1"] > 0 and some.tasks[0].figures["sharpness"] is not None
    carried_out(tmp_path / "free", "finetune", diagnosed=False)
    judged, _ = diagnose_folder(run, small_stream(), against=tmp_path / "free")
    assert judged.tasks[-1].figures["intransigence"] is not None
    assert any("intransigence" in verdict for verdict in judged.tasks[-1].verdicts)


def test_folders_that_cannot_be_diagnosed(folder, tmp_path):
    with pytest.raises(ConfigError, match="holds no run"):
        diagnose_folder(tmp_path, small_stream())
    with pytest.raises(StoreError, match="not those that the run"):
        diagnose_folder(folder, small_stream(each=5))
    for change, words in (
        ({"format": 9}, "has format 9, and this version reads up to 2"),
        ({"tasks": []}, "has not finished a task"),
        ({"recipe": None, "data": None}, "is no result|not those|cannot"),
    ):
        path = tmp_path / f"changed{len(words)}"
        path.mkdir()
        data = json.loads((folder / "result.json").read_text()) | change
        if data["recipe"] is None:
            del data["data"]
        (path / "result.json").write_text(json.dumps(data))
        with pytest.raises((ConfigError, StoreError), match=words):
            diagnose_folder(path, small_stream())
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "result.json").write_text((folder / "result.json").read_text())
    with pytest.raises(StoreError, match=r"keeps no network \(learner.safetensors\)"):
        diagnose_folder(bare, small_stream())
    (bare / NAME).write_text('{"format": 7}')
    with pytest.raises(StoreError, match="has format 7, and this version reads 1"):
        read_diagnosis(bare)


def test_one_class_a_task_leaves_reasons_and_no_error():
    stream = small_stream()
    from holdfast.stream.source import Source
    from holdfast.stream.split import class_incremental

    rows = [t.train for t in stream], [t.test for t in stream]
    x, y, tx, ty = (torch.cat([getattr(r, n) for r in side]) for side in rows for n in ("x", "y"))
    one = class_incremental(Source("one", x, y, tx, ty, stream.names), None, (1,) * 6)
    some = diagnose(a_run("finetune", one))
    first = some.tasks[0]
    assert first.reasons["nc1"] == "it takes two classes, and there is one"
    assert some.tasks[-1].reasons["confusion_new"] == "the task has one class"
    assert math.isfinite(some.tasks[-1].figures["nc1"])


def test_a_frozen_network_does_not_move():
    some = diagnose(a_run("frozen"))
    last = some.tasks[-1]
    assert last.figures["mean_drift"] == 0 and last.figures["representation_forgetting"] == 0
    assert last.reasons["sharpness"] == "the method trains no network in this task"
