import json

import pytest
from PIL import Image
from safetensors.torch import load_file
from torch.testing import assert_close

from holdfast import Network, Setup, recipes, run
from holdfast.core.errors import ConfigError
from holdfast.store import RunFolder, atomic_write, fresh
from holdfast.train.events import TaskDone


def test_a_run_leaves_what_it_promises(tiny_stream, tiny_training, tmp_path):
    folder, last = RunFolder(tmp_path / "a"), []

    def watch(event):
        folder(event)
        if isinstance(event, TaskDone):
            last.append(event)

    result = run(
        recipes.make("fnc2"), tiny_stream, Setup(tiny_training, Network(width=4)), watch=watch
    )
    left = json.loads((tmp_path / "a" / "result.json").read_text())
    T = len(tiny_stream)
    assert left["status"] == "complete"
    assert [len(row) for row in left["class_il"]["matrix"]] == [T] * T
    assert left["class_il"]["matrix"][0][1] is None
    assert left["class_il"]["final"] == pytest.approx(result.class_il.final, abs=1e-6)
    assert left["protocol"] == "strict" and left["memory"]["images"] == 0
    assert left["memory"]["past_network"]["floats"] > 0
    assert len(left["tasks"]) == len(left["memory"]["by_task"]) == T
    assert left["data"]["fingerprint"] == tiny_stream.fingerprint()
    assert {"class_il", "task_il", "backward_transfer", "config", "environment"} <= left.keys()

    lines = [json.loads(line) for line in (tmp_path / "a" / "log.jsonl").read_text().splitlines()]
    epochs = sum(tiny_training.epochs_of(task) for task in range(T))
    assert len(lines) == epochs
    assert {"fnc2", "ird", "focal_weight", "alpha", "lr", "images_per_second"} <= lines[
        tiny_training.epochs_of(0)
    ].keys()

    weights = load_file(tmp_path / "a" / "learner.safetensors")
    for name, tensor in last[-1].learner.state_dict().items():
        assert_close(weights[name], tensor)
    for picture in ("matrix.png", "retention.png"):
        with Image.open(tmp_path / "a" / picture) as image:
            assert image.width > 300


def test_an_existing_folder_is_kept_unless_told_otherwise(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "result.json").write_text("old")
    with pytest.raises(ConfigError, match="--overwrite"):
        RunFolder(tmp_path / "a")
    assert (tmp_path / "a" / "result.json").read_text() == "old"
    RunFolder(tmp_path / "a", overwrite=True)
    assert not list((tmp_path / "a").iterdir())


def test_overwrite_never_removes_what_is_no_run(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ConfigError, match="no earlier run"):
        RunFolder(tmp_path, overwrite=True)
    assert (tmp_path / "thesis.txt").exists()


def test_a_path_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be made"):
        RunFolder(tmp_path / "file" / "run")


def test_fresh_names_are_readable_and_not_taken(tmp_path):
    names = []
    for _ in range(3):
        path = fresh("fnc2", "uoft/cifar 10", "auxiliary(200)", tmp_path)
        path.mkdir()
        names.append(path.name)
    assert names == [f"fnc2-uoft-cifar-10-auxiliary-200{end}" for end in ("", "-2", "-3")]


def test_a_write_that_fails_leaves_the_old_file_and_no_half_one(tmp_path):
    target = tmp_path / "result.json"
    target.write_text("old")

    def broken(path):
        path.write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        atomic_write(target, broken)
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]
