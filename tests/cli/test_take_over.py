"""``holdfast learn NEW --past OLD``: a model of another network that goes on where one stands."""

import pytest
import torch
from PIL import Image

from conftest import textures
from holdfast.cli import main
from holdfast.store.model import ModelFolder
from terminal import said

FAST = ["--epochs", "3", "--device", "cpu"]


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    x, y = textures(10, 0)
    for i, (image, c) in enumerate(zip(x, y.tolist())):
        if c < 4:
            folder = tmp_path / ("old" if c < 2 else "new") / "abcd"[c]
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image[0].numpy()).save(folder / f"{i}.png")


def test_a_model_is_upgraded_to_another_network(capsys):
    said(capsys, "learn", "small", "--data", "old", "--recipe", "lwf", "--width", "4", *FAST)
    wide = ["--past", "small", "--backbone", "resnet18", "--width", "4"]
    words = said(capsys, "learn", "large", "--data", "new", *wide, *FAST)
    assert "recipe ofa" in words and "stored about the data: 0 images" in words
    core, manifest = ModelFolder("large").load()
    assert core.labels == ["a", "b", "c", "d"] and manifest.version == 1
    assert type(core.learner.backbone).__name__ == "ResNet18"
    assert bool(core.scores(torch.rand(3, 3, 8, 8)).isfinite().all())
    shown = said(capsys, "predict", "large", "old/a", "--json")
    assert '"class": ' in shown
    assert ModelFolder("small").load()[0].labels == ["a", "b"]


def test_what_it_cannot_take_over_is_one_sentence(capsys):
    said(capsys, "learn", "small", "--data", "old", "--recipe", "lwf", "--width", "4", *FAST)
    said(capsys, "learn", "bare", "--data", "old", "--width", "4", *FAST)  # fnc2_strict
    cases = {
        ("large", "--past", "bare"): "which trains no head",
        ("small", "--past", "bare"): "--past is for a new model, and small is one already",
        ("large", "--past", "small", "--size", "12"): "takes inputs of size 8",
        ("large", "--past", "small", "--recipe", "fnc2_strict"): "a head must decide",
        ("large", "--past", "nowhere"): "nowhere",
    }
    for flags, sentence in cases.items():
        assert main(["learn", *flags, "--data", "new", *FAST, "--width", "4"]) not in (0, None)
        assert sentence in " ".join(capsys.readouterr().err.split())
    assert not ModelFolder("large").exists
