"""The commands of a stored model as a user meets them: what they print, leave and refuse."""

import json
import os
import shutil
import signal

import pytest
import torch
from PIL import Image

from conftest import textures
from holdfast.cli import main
from holdfast.store.model import ModelFolder
from holdfast.train import loop
from terminal import said

NAMES = ("ant", "bee", "cat", "dog")
FAST = ["--epochs", "4", "--width", "4", "--device", "cpu"]


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")


@pytest.fixture(scope="session")
def zoo(tmp_path_factory):
    """Pictures of four classes: old (two), new (two), and golden ones of all."""
    root = tmp_path_factory.mktemp("zoo")
    for side, each, seed in (("old", 12, 0), ("new", 12, 0), ("golden", 6, 1)):
        x, y = textures(each, seed)
        for i, (image, c) in enumerate(zip(x, y.tolist())):
            if c < 4 and (side == "golden" or (c < 2) == (side == "old")):
                (root / side / NAMES[c]).mkdir(parents=True, exist_ok=True)
                Image.fromarray(image[0].numpy()).save(root / side / NAMES[c] / f"{i}.png")
    return root


@pytest.fixture(scope="session")
def made(zoo, tmp_path_factory):
    path = tmp_path_factory.mktemp("made") / "model"
    assert main(["learn", str(path), "--data", str(zoo / "old"), *FAST, "--quiet"]) == 0
    return path


@pytest.fixture
def model(made, tmp_path):
    shutil.copytree(made, tmp_path / "model")
    return "model"


def test_a_session(zoo, capsys):
    first = said(capsys, "learn", "m", "--data", zoo / "old", *FAST)
    assert "a new model, recipe fnc2_strict, protocol strict, images 8x8" in first
    assert "24 images of 2 classes: ant 12, bee 12" in first
    assert "MiB of memory" in first and "about" in first.split("task 1/1")[0]
    assert "stored about the data: 0 images" in first and "version 1 of m is in use" in first

    flags = ["--golden", zoo / "golden", "--max-drop", "60", "--max-class-drop", "100"]
    flags += ["--epochs", "4"]
    second = said(capsys, "learn", "m", "--data", zoo / "new", *flags)
    assert "extends version 1" in second and "drift:" in second
    assert "old classes" in second and "back: holdfast rollback m" in second

    shown = said(capsys, "inspect", "m")
    assert "2 (in use), from 1" in shown and "classes of version 2 2: cat, dog" in shown
    assert "every file is as it was written" in shown
    told = said(capsys, "history", "m")
    assert "learned ant, bee; 24 images" in told and "version 2 is in use" in told

    measured = said(capsys, "evaluate", "m", "--data", zoo / "golden")
    assert all(name in measured for name in (*NAMES, "all"))
    assert "version 1 of m is in use: 2 classes" in said(capsys, "rollback", "m")
    assert "not in the model" in said(capsys, "evaluate", "m", "--data", zoo / "golden")
    assert "version 2 of m is in use" in said(capsys, "rollback", "m", "2")
    assert "rolled back" in said(capsys, "history", "m")


def test_predictions_are_those_of_the_model(model, zoo, capsys):
    assert main(["predict", model, str(zoo / "golden" / "ant"), "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(lines) == 6 and {line["version"] for line in lines} == {1}
    core, _ = ModelFolder(model).load(device="cpu")
    pixels = [torch.from_numpy(_pixels(line["image"])) for line in lines]
    best = core.scores(torch.stack(pixels)).argmax(1).tolist()
    assert [line["class"] for line in lines] == [core.labels[k] for k in best]
    assert all(0.5 <= line["probability"] <= 1 for line in lines)


def _pixels(path):
    import numpy as np

    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).transpose(2, 0, 1).copy()


def test_an_image_that_cannot_be_read_is_told_and_the_others_are_answered(model, zoo, capsys):
    open("broken.jpg", "w").close()
    good = zoo / "golden" / "ant" / "0.png"
    found = said(capsys, "predict", model, good, "broken.jpg", "absent.png", code=2)
    assert "0.png" in found and "2 files skipped" in found
    assert "No such file" in found
    main(["predict", model, str(good), "broken.jpg", "--json"])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert "class" in lines[0] and "error" in lines[1]


def test_a_version_that_costs_too_much_is_not_published_and_can_be_later(model, zoo, capsys):
    before = (ModelFolder(model).path / "current.json").read_bytes()
    flags = ["--data", zoo / "new", "--golden", zoo / "golden", "--epochs", "4"]
    # no version gains 101 points
    refused = said(capsys, "learn", model, *flags, "--max-drop", "-101", code=3)
    assert "not published" in refused and "Version 1 stays in use" in refused
    assert (ModelFolder(model).path / "current.json").read_bytes() == before
    assert "--resume" in said(capsys, "learn", model, *flags, code=2)
    limits = ["--max-drop", "100", "--max-class-drop", "100"]
    later = said(capsys, "learn", model, *flags, *limits, "--resume")
    assert "learned already" in later and "version 2 of model is in use" in later


def test_a_class_that_comes_again_is_learned_further(model, zoo, capsys, tmp_path):
    shutil.copytree(zoo / "old" / "ant", tmp_path / "more" / "ant")
    shutil.copytree(zoo / "new" / "cat", tmp_path / "more" / "cat")
    found = said(capsys, "learn", model, "--data", "more", "--epochs", "2")
    assert "learned further: ant" in found and "3 classes" in found
    names = [entry["name"] for entry in ModelFolder(model).manifest().classes]
    assert names == ["ant", "bee", "cat"]


@pytest.mark.parametrize("classes, images", [(["ant"], 12), (["ant"], 1), (["ant", "bee"], 1)])
def test_one_class_and_one_image_are_enough(classes, images, zoo, capsys, tmp_path):
    for name in classes:
        (tmp_path / "few" / name).mkdir(parents=True)
        for file in sorted((zoo / "old" / name).iterdir())[:images]:
            shutil.copy(file, tmp_path / "few" / name)
    said(capsys, "learn", "m", "--data", "few", *FAST)
    (tmp_path / "one" / "cat").mkdir(parents=True)
    shutil.copy(next((zoo / "new" / "cat").iterdir()), tmp_path / "one" / "cat")
    assert "learned in" in said(capsys, "learn", "m", "--data", "one", "--epochs", "2")
    assert "version 2" in said(capsys, "inspect", "m")
    measured = said(capsys, "evaluate", "m", "--data", zoo / "golden")
    assert "dog (not in the model) 6 0.0" in measured
    # a version whose folder was removed is told, not stumbled over
    shutil.rmtree(tmp_path / "m" / "versions" / "0001")
    assert "0001/manifest.json is missing" in said(capsys, "history", "m")


def test_what_is_stored_counts_every_readout(zoo, capsys):
    flags = ["--readout", "prototype", "--also", "mean,gaussian"]
    said(capsys, "learn", "m", "--data", zoo / "old", *FAST, *flags)
    core, manifest = ModelFolder("m").load(device="cpu")
    f = core.learner.backbone.features
    assert manifest.stored["floats"] >= 2 * f + f * f  # of the mean, and of the gaussian
    assert main(["predict", "m", str(zoo / "old"), "--readout", "mean"]) == 0


def test_help_says_what_each_flag_means(capsys):
    for command in ("learn", "predict", "evaluate", "inspect", "history", "rollback", "export"):
        found = said(capsys, command, "--help", code=0)
        assert "None" not in found and "folder of the model" in found


def test_skipped_files_are_counted_and_listed(zoo, capsys, tmp_path):
    shutil.copytree(zoo / "old", tmp_path / "odd")
    (tmp_path / "odd" / "ant" / "empty.png").write_bytes(b"")
    found = said(capsys, "learn", "m", "--data", "odd", *FAST)
    assert "1 file skipped: odd/ant/empty.png: is not a readable image" in found
    kept = ModelFolder("m").manifest().update["skipped"]
    assert [name for name, _ in kept] == ["odd/ant/empty.png"]


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["learn", "model", "--data", "nowhere"], ["nowhere does not exist"]),
        (["learn", "model", "--data", "ZOO/new", "--recipe", "co2l"], ["made with --recipe fnc2"]),
        (
            ["learn", "model", "--data", "ZOO/new", "--width", "8"],
            ["--width 4", "cannot change to 8"],
        ),
        (["learn", "model", "--data", "ZOO/new", "--size", "16"], ["images of size 8, not 16"]),
        (["learn", "model", "--data", "ZOO/new", "--max-drop", "2"], ["--golden"]),
        (
            ["learn", "model", "--data", "ZOO/new", "--parameters", "tau=9"],
            ["made with tau=", "to 9.0"],
        ),
        (["learn", "n", "--data", "ZOO/new", "--recipe", "fcn2"], ["did you mean 'fnc2'"]),
        (["learn", "n", "--data", "ZOO/new", "--parameters", "taux=1"], ["did you mean 'tau'"]),
        (["learn", "n", "--data", "ZOO/new", "--parameters", "tau"], ["name=value"]),
        (["learn", "n", "--data", "ZOO/new", "--lr", "-1"], ["--lr must be positive"]),
        (
            ["learn", "n", "--data", "ZOO/new", "--recipe", "er", "--protocol", "strict"],
            ["rehearses"],
        ),
        (["learn", "ZOO", "--data", "ZOO/new"], ["is no model and is not empty"]),
        (["learn", "n", "--data", "ZOO/new", "--resume", "--anew"], ["give one"]),
        (["predict", "n", "x.png"], ["n is no model"]),
        (["predict", "model"], ["no image was given"]),
        (["predict", "model", "ZOO/new", "--version", "7"], ["no version 7"]),
        (["predict", "model", "ZOO/new", "--readout", "head"], ["no readout 'head'"]),
        (["evaluate", "model", "--data", "ZOO/new/cat"], ["no images in class folders"]),
        (["rollback", "model"], ["learned from none"]),
        (["export", "model", "--to", "torch", "--out", "model"], ["exists already"]),
        (["export", "model", "--to", "tflite"], ["tflite"]),
    ],
)
def test_bad_input_is_one_clear_sentence_and_leaves_nothing(arguments, words, model, zoo, capsys):
    before = sorted(os.listdir())
    found = said(capsys, *[a.replace("ZOO", str(zoo)) for a in arguments], code=2)
    assert [word for word in words if word not in found] == []
    assert "Traceback" not in found and sorted(os.listdir()) == before


def test_ctrl_c_stops_at_the_end_of_the_epoch_and_says_how_to_go_on(
    model, zoo, capsys, monkeypatch, tmp_path
):
    honest, updates = loop.update, []

    def pressed(*arguments):
        updates.append(1)
        if len(updates) == 8:  # four are the estimate's
            signal.raise_signal(signal.SIGINT)
        return honest(*arguments)

    shutil.copytree(model, tmp_path / "straight")
    flags = ["--data", str(zoo / "new"), "--epochs", "4", "--batch", "12"]
    monkeypatch.setattr(loop, "update", pressed)
    found = said(capsys, "learn", model, *flags, code=130)
    monkeypatch.setattr(loop, "update", honest)
    assert "stopping at the end of this epoch" in found
    assert f"version 1 stays in use; to go on: holdfast learn model --data {zoo / 'new'}" in found
    assert found.endswith("--resume") and ModelFolder(model).manifest().version == 1
    assert "resumed after epoch 2" in said(capsys, "learn", model, *flags, "--resume")
    said(capsys, "learn", "straight", *flags)
    x = torch.rand(5, 3, 8, 8).mul(255).byte()
    a, b = (ModelFolder(name).load(device="cpu")[0].scores(x) for name in (model, "straight"))
    assert torch.equal(a, b)
    again = said(capsys, "learn", model, *flags, "--resume")
    assert "nothing is left to resume" in again and ModelFolder(model).manifest().version == 2


def test_a_second_ctrl_c_stops_at_once(model, zoo, capsys, monkeypatch):
    def pressed(*arguments):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr("holdfast.store.update.Update.estimate", lambda self: (0.0, 0))
    monkeypatch.setattr(loop, "update", pressed)
    assert "stopped" in said(capsys, "learn", model, "--data", zoo / "new", code=130)
    assert signal.getsignal(signal.SIGINT) is before
    assert ModelFolder(model).manifest().version == 1


def test_two_updates_at_once_are_refused_by_name(model, zoo, capsys):
    with ModelFolder(model).lock():
        found = said(capsys, "learn", model, "--data", zoo / "new", code=2)
    assert f"model is being updated by another process ({os.getpid()})" in found


def test_torch_export_says_what_the_model_says(model, zoo, capsys):
    assert "differ from the model's own by at most" in said(
        capsys, "export", model, "--to", "torch"
    )
    program = torch.export.load("model-0001.pt2").module()
    x = torch.rand(7, 3, 8, 8)
    core, _ = ModelFolder(model).load(device="cpu")
    own = core.readouts[core.readout].scores(core.learner.eval()(x))
    torch.testing.assert_close(program(x), own, rtol=1e-4, atol=1e-3)


def test_onnx_says_what_the_model_says(model, capsys):
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    assert main(["export", model, "--to", "onnx", "--out", "m.onnx", "--json"]) == 0
    notes = json.loads(capsys.readouterr().out)  # one object, and nothing else
    assert notes["difference"] < 1e-2 and notes["bytes"] == os.path.getsize("m.onnx")
    session = runtime.InferenceSession("m.onnx", providers=["CPUExecutionProvider"])
    x = torch.randint(0, 256, (7, 3, 8, 8), dtype=torch.uint8)
    found = torch.from_numpy(session.run(None, {"pixels": x.numpy()})[0])
    core, _ = ModelFolder(model).load(device="cpu")
    own = core.readouts[core.readout].scores(core.learner.eval()(x.float() / 255)).detach()
    torch.testing.assert_close(found, own, rtol=1e-3, atol=1e-2)
    assert json.loads(session.get_modelmeta().custom_metadata_map["classes"]) == ["ant", "bee"]
