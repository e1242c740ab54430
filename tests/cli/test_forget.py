"""``holdfast forget`` and ``Model.forget`` as a user meets them."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

import holdfast
from conftest import textures
from holdfast.core.settings import Network, Training
from holdfast.store.model import ModelFolder
from holdfast.store.update import Update
from holdfast.stream.folder import read_folder
from holdfast.train.blueprint import Blueprint
from holdfast.train.setup import Setup
from terminal import said

NAMES = ("ant", "bee", "cat")


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    """Pictures of three classes, and a folder of a few of them to forget."""
    root = tmp_path_factory.mktemp("zoo")
    x, y = textures(9, 0)
    for i, (image, c) in enumerate(zip(x, y.tolist())):
        if c < 3:
            for part in ("train", *(["gone"] if c < 2 and i % 3 == 0 else [])):
                (root / part / NAMES[c]).mkdir(parents=True, exist_ok=True)
                Image.fromarray(image[0].numpy()).save(root / part / NAMES[c] / f"{i}.png")
    return root


def learn(path, zoo, without=()):
    """A version of a frozen network with the pictures, but for some."""
    data = read_folder(zoo / "train", 8)
    kept = [i for i, file in enumerate(data.files) if file.name not in without]
    setup = Setup(Training(epochs=1), Network(backbone="identity"))
    decide = "class-gaussian:structure=factor:drift=none"
    folder = ModelFolder(path)
    with folder.lock():
        blueprint = Blueprint("frozen", (3, 8, 8), {"decide": decide}, setup)
        update = Update(folder, data.x[kept], [data.labels[i] for i in kept], blueprint, "cpu")
        list(update.learn())
        update.publish({"images": {}, "new_classes": list(NAMES)})
    return path


@pytest.fixture
def model(zoo, tmp_path_factory, tmp_path):
    root = tmp_path_factory.getbasetemp() / "of forget"
    if not root.exists():
        learn(root, zoo)
    shutil.copytree(root, tmp_path / "model")
    return "model"


def scores(path, zoo):
    core, _ = ModelFolder(path).load(device="cpu")
    return core.scores(read_folder(zoo / "train", 8).x)


def test_images_are_forgotten_and_how_far_it_goes_is_said(model, zoo, capsys):
    names = {file.name for file in (zoo / "gone").rglob("*.png")}
    counts = {k: len(list((zoo / "gone" / k).iterdir())) for k in NAMES[:2]}
    text = said(capsys, "forget", model, "--data", zoo / "gone")
    assert (
        f"forgot {len(names)} images: {counts['ant']} of 'ant' ({9 - counts['ant']} left)" in text
    )
    assert "the model is one that never learned them: none of its weights saw them" in text
    assert "an image that was never learned cannot be told from one that was" in text
    assert "temperature as it was chosen with them" in text
    assert "version 1 may still hold them, so that rollback works" in text
    expected = scores(learn("never", zoo, names), zoo)
    torch.testing.assert_close(scores(model, zoo), expected, rtol=1e-5, atol=1e-5)
    notes = ModelFolder(model).manifest().update["forgotten"]
    assert len(notes["hashes"]) == len(names) and all(len(h) == 64 for h in notes["hashes"])
    assert not any(name in json.dumps(notes) for name in names)  # hashes, and no file
    assert f"forgot {len(names)} images of ant, bee" in said(capsys, "history", model)
    again = said(capsys, "forget", model, "--data", zoo / "gone", code=2)
    assert f"{len(names)} of these images were forgotten already by version 2" in again
    said(capsys, "rollback", model)
    assert "version 3" in said(capsys, "forget", model, "--data", zoo / "gone")


def test_images_of_one_class_and_a_purge(model, zoo, capsys):
    data = json.loads(
        capsys_json(
            capsys, "forget", model, "--data", zoo / "gone" / "bee", "--name", "bee",
            "--choose-anew", "--purge",
        )
    )  # fmt: skip
    assert list(data["images"]) == ["bee"] and data["exact"] == "model"
    assert data["purged"] == [1] and data["versions_that_may_hold_them"] == []
    [chosen] = data["chosen_with_them"].values()
    assert chosen["decision"].startswith("by draws")
    assert [p.name for p in (ModelFolder(model).path / "versions").iterdir()] == ["0002"]


def capsys_json(capsys, *words):
    from holdfast.cli import main

    assert main([str(word) for word in (*words, "--json")]) == 0
    return capsys.readouterr().out


def test_what_cannot_be_forgotten_leaves_the_model_as_it_was(model, zoo, capsys, tmp_path):
    before = (ModelFolder(model).path / "current.json").read_bytes()
    shutil.copytree(zoo / "gone", tmp_path / "broken")
    (tmp_path / "broken" / "ant" / "new.png").write_bytes(b"nothing")
    for words, why in (
        (["--data", zoo / "train"], "'ant' was learned from 9 images, and 0 would be left"),
        (["--data", zoo / "nowhere"], "does not exist"),
        (["--data", "broken"], "it was not learned either, so leave it out"),
        (["--data", zoo / "gone" / "ant", "--name", "wasp"], "unknown class 'wasp'"),
        (["--data", zoo / "gone", "--name", "cat"], "a folder of 'ant' and none of 'cat': leave"),
        ([], "data"),
    ):
        assert why in said(capsys, "forget", model, *words, code=2)
    assert (ModelFolder(model).path / "current.json").read_bytes() == before


def test_vectors_are_forgotten_from_python(tmp_path):
    generator = np.random.default_rng(0)
    y = np.repeat(["cat", "dog"], 30)
    x = generator.normal(size=(60, 6)) + 4 * (y == "dog")[:, None]
    holdfast.learn(tmp_path / "pets", (x, y), yes=True)
    model = holdfast.load(tmp_path / "pets")
    paper = model.forget((x[25:35], y[25:35]))
    assert model.version == 2 and paper["images"] == {"cat": 5, "dog": 5}
    assert paper["exact"] == "model" and len(paper["hashes"]) == 10
    assert model.forget(x[:2], name="cat")["left"] == {"cat": 23}
    holdfast.learn(tmp_path / "fewer", (np.r_[x[2:25], x[35:]], np.r_[y[2:25], y[35:]]), yes=True)
    for path in ("pets", "fewer"):
        core, _ = ModelFolder(tmp_path / path).load(device="cpu")
        known = core.readouts[core.readout].known
        assert known.count.tolist() == [23, 25]
        scatter = known.scatter.pooled() if path == "pets" else scatter - known.scatter.pooled()
    assert float(scatter.abs().max()) < 1e-5
    with pytest.raises(holdfast.DataError, match="2 of these images were forgotten already"):
        model.forget(x[:2], name="cat")
