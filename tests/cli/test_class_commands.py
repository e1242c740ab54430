"""The commands on classes and versions as a user meets them: what they print, leave and refuse."""

import json
import os
import shutil

import pytest
import torch
from PIL import Image

from conftest import textures
from holdfast.cli import main
from holdfast.core.settings import Network, Training
from holdfast.store.model import ModelFolder
from holdfast.store.update import Update
from holdfast.stream.folder import read_folder
from holdfast.train.blueprint import Blueprint
from holdfast.train.setup import Setup
from terminal import said

NAMES = ("ant", "bee", "cat", "dog")
FACTOR = "class-gaussian:structure=factor:drift=none"
SHARED = "ridge:drift=none:strength=0.01"


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")


@pytest.fixture(scope="session")
def zoo(tmp_path_factory):
    """Pictures of four classes to learn, and others to test on."""
    root = tmp_path_factory.mktemp("zoo")
    for part, each, seed in (("train", 12, 0), ("golden", 6, 1)):
        x, y = textures(each, seed)
        for i, (image, c) in enumerate(zip(x, y.tolist())):
            if c < 4:
                (root / part / NAMES[c]).mkdir(parents=True, exist_ok=True)
                Image.fromarray(image[0].numpy()).save(root / part / NAMES[c] / f"{i}.png")
    return root


def learn(path, zoo, *classes, readout=FACTOR):
    """An update of a model of a frozen network with the pictures of some classes."""
    data = read_folder(zoo / "train", 8)
    kept = [i for i, label in enumerate(data.labels) if label in classes]
    setup = Setup(Training(epochs=1), Network(backbone="identity"))
    blueprint = Blueprint("frozen", (3, 8, 8), {"decide": readout}, setup)
    folder = ModelFolder(path)
    with folder.lock():
        update = Update(folder, data.x[kept], [data.labels[i] for i in kept], blueprint, "cpu")
        list(update.learn())
        update.publish({"images": dict.fromkeys(classes, 12), "new_classes": list(classes)})
    return path


@pytest.fixture(scope="session")
def made(zoo, tmp_path_factory):
    root = tmp_path_factory.mktemp("made")
    for readout, name in ((FACTOR, "factor"), (SHARED, "shared")):
        learn(root / name, zoo, "ant", "bee", readout=readout)
        learn(root / name, zoo, "cat", readout=readout)
    return root


@pytest.fixture
def model(made, tmp_path):
    shutil.copytree(made / "factor", tmp_path / "model")
    return "model"


@pytest.fixture
def shared(made, tmp_path):
    shutil.copytree(made / "shared", tmp_path / "shared")
    return "shared"


def told(capsys, *arguments):
    assert main([str(a) for a in (*arguments, "--json")]) == 0
    return json.loads(capsys.readouterr().out)


def scores(path, zoo, version=None):
    core, _ = ModelFolder(path).load(version, "cpu")
    found = core.scores(read_folder(zoo / "golden", 8).x)
    return {str(name): found[:, k] for k, name in enumerate(core.labels)}


def versions(path):
    return sorted(p.name for p in (ModelFolder(path).path / "versions").iterdir())


def everything(path):
    return {
        str(p): p.read_bytes() for p in sorted(ModelFolder(path).path.rglob("*")) if p.is_file()
    }


# remove


def test_a_class_is_removed_and_what_still_holds_it_is_told(model, zoo, capsys):
    found = said(capsys, "remove", model, "bee")
    assert "removed 'bee', learned from 12 images: the model is one that never learned it" in found
    assert "versions 1, 2 still hold it" in found and "version 3 of model is in use" in found
    assert "threshold carried over" in found
    manifest = ModelFolder(model).manifest()
    assert [c["name"] for c in manifest.classes] == ["ant", "cat"]
    assert [c["version"] for c in manifest.classes] == [1, 2]
    assert manifest.update["removed"]["exact"] == "model"
    expected = scores(learn(learn("never", zoo, "ant"), zoo, "cat"), zoo)
    for name, values in scores(model, zoo).items():
        torch.testing.assert_close(values, expected[name], rtol=1e-5, atol=1e-5)  # in float32
    assert "removed bee" in said(capsys, "history", model)
    assert "3 classes" in said(capsys, "rollback", model)
    learn(model, zoo, "bee", "dog")  # from version 2, where it is known
    assert [c["name"] for c in ModelFolder(model).manifest().classes] == list(NAMES)


def test_a_purge_leaves_no_version_that_holds_the_class(model, zoo, capsys):
    data = told(capsys, "remove", model, "cat", "--purge")
    assert data["purged"] == [2] and data["versions_that_hold_it"] == [] and data["version"] == 3
    assert versions(model) == ["0001", "0003"]
    assert "has no version 2: its versions are 1, 3" in said(capsys, "rollback", model, code=2)
    assert "deleted version 2" in said(capsys, "history", model)
    found = said(capsys, "remove", model, "bee", "--purge")
    assert "deleted version 1, 3: this folder holds it no more" in found
    learn(model, zoo, "cat")
    assert [c["name"] for c in ModelFolder(model).manifest().classes] == ["ant", "cat"]
    assert versions(model) == ["0004", "0005"]  # no number comes twice


def test_a_purge_knows_the_names_a_class_had(model, capsys):
    said(capsys, "rename", model, "bee", "wasp")
    assert told(capsys, "remove", model, "wasp")["versions_that_hold_it"] == [1, 2, 3]


def test_one_scatter_for_all_needs_the_images(shared, zoo, capsys):
    before = everything(shared)
    found = said(capsys, "remove", shared, "bee", code=2)
    assert "without the 12 images it was learned from: give their folder with --data" in found
    for data, why in (
        (zoo / "golden", "learned from 12 rows, and 6 were brought"),
        (zoo / "train" / "ant", "another mean"),
        (zoo / "nowhere", "does not exist"),
    ):
        assert why in said(capsys, "remove", shared, "bee", "--data", data, code=2)
    assert everything(shared) == before
    assert "version 3" in said(capsys, "remove", shared, "bee", "--data", zoo / "train")
    expected = scores(
        learn(learn("never", zoo, "ant", readout=SHARED), zoo, "cat", readout=SHARED), zoo
    )
    for name, values in scores(shared, zoo).items():
        torch.testing.assert_close(values, expected[name], rtol=1e-4, atol=1e-4)


def test_what_cannot_be_removed_leaves_the_model_as_it_was(model, zoo, capsys):
    before = everything(model)
    assert "unknown class 'be'" in said(capsys, "remove", model, "be", code=2)
    assert "unknown class 'be'" in said(capsys, "remove", model, "be", "--data", zoo, code=2)
    assert "is no model" in said(capsys, "remove", "modle", "bee", code=2)
    assert not os.path.exists("modle")
    with ModelFolder(model).lock():
        assert "is being updated by another process" in said(capsys, "remove", model, "bee", code=2)
    (ModelFolder(model).path / "update.safetensors").touch()
    assert "an update of model was stopped" in said(capsys, "remove", model, "bee", code=2)
    (ModelFolder(model).path / "update.safetensors").unlink()
    assert everything(model) == before


# rename, merge, split


def test_a_renamed_class_answers_as_before(model, zoo, capsys):
    before = scores(model, zoo)
    assert "renamed bee to wasp: version 3" in said(capsys, "rename", model, "bee", "wasp")
    after = scores(model, zoo)
    assert all(torch.equal(after[n.replace("bee", "wasp")], s) for n, s in before.items())
    assert [c["version"] for c in ModelFolder(model).manifest().classes] == [1, 1, 2]
    assert "'ant' is a class already" in said(capsys, "rename", model, "wasp", "ant", code=2)
    assert told(capsys, "rename", model, "wasp", "ant", "--join") == {
        "joined": {"wasp": "ant"}, "version": 4, "classes": 2,
    }  # fmt: skip
    assert list(scores(model, zoo)) == ["ant", "cat"]


def test_split_then_merged_is_the_original(model, zoo, capsys):
    whole, before = scores(model, zoo), everything(model)
    assert "one: 2 classes of model" in said(
        capsys, "split", model, "cat", "ant", "--out", "one", "--rest", "two"
    )
    assert list(scores("one", zoo)) == ["ant", "cat"] and list(scores("two", zoo)) == ["bee"]
    for order in (("one", "two"), ("two", "one")):
        found = said(capsys, "merge", *order, "--out", f"of-{order[0]}")
        assert "3 classes" in found and "classes, 2 of one" in found.replace("1 of two and ", "")
        for name, values in scores(f"of-{order[0]}", zoo).items():
            torch.testing.assert_close(values, whole[name], rtol=1e-6, atol=1e-6)
    learn("of-one", zoo, "dog")
    assert len(ModelFolder("of-one").manifest().classes) == 4
    assert everything(model) == before


def test_merging_says_what_differs(model, shared, zoo, capsys):
    found = said(capsys, "merge", model, shared, "--out", "m", code=2)
    assert "cannot be merged: the readout of the one is class-gaussian" in found
    assert not os.path.exists("m")
    assert "is a model already: choose another --out" in said(
        capsys, "merge", model, model, "--out", shared, code=2
    )
    data = told(capsys, "merge", model, model, "--out", "twice")
    assert data["common_classes"] == ["ant", "bee", "cat"] and data["classes"] == 3
    assert "has one scatter" not in found
    assert "a choice of them has none" in said(capsys, "split", shared, "ant", "--out", "s", code=2)
    every = said(capsys, "split", model, "ant", "bee", "cat", "--out", "s", "--rest", "r", code=2)
    assert "at least one class" in every
    assert not os.path.exists("s") and not os.path.exists("r")


# diff, prune


def test_a_difference_in_words_and_on_images(model, zoo, capsys):
    said(capsys, "rename", model, "bee", "wasp")
    learn(model, zoo, "ant", "dog")
    data = told(capsys, "diff", model, 1, 4, "--data", zoo / "golden")
    assert data["added"] == ["cat", "dog"] and data["removed"] == []
    assert data["renamed"] == {"bee": "wasp"} and data["images"]["ant"] == [12, 24]
    measured = data["data"]
    assert measured["images"] == 24 and measured["classes"]["cat"]["before"] == 0
    assert measured["won"] - measured["lost"] == sum(
        c["after"] - c["before"] for c in measured["classes"].values()
    )
    assert len(measured["differing"]) == round(24 * (1 - measured["agreement"]))
    text = said(capsys, "diff", model, 1, 4, "--data", zoo / "golden")
    assert "classes added: cat, dog" in text and "classes renamed: bee to wasp" in text
    assert "images learned: ant 12 to 24" in text and "McNemar's exact p" in text
    back = told(capsys, "diff", model, 4, 1)
    assert back["removed"] == ["cat", "dog"] and back["renamed"] == {"wasp": "bee"}
    assert "the two say the same" in said(capsys, "diff", model, 1, 1)
    assert "has no version 9" in said(capsys, "diff", model, 1, 9, code=2)


def test_pruning_keeps_what_is_in_use_and_what_rollback_goes_to(model, zoo, capsys):
    for name in ("dog", "ant", "bee"):
        learn(model, zoo, name)
    assert versions(model) == ["0001", "0002", "0003", "0004", "0005"]
    said(capsys, "rollback", model, 2)  # from 1
    before = everything(model)
    dry = told(capsys, "prune", model, "--keep", 1, "--dry-run")
    assert dry["deleted"] == [3, 4] and dry["left"] == [1, 2, 5] and everything(model) == before
    found = said(capsys, "prune", model, "--keep", 1)
    assert "deleted versions 3, 4" in found and "left: 1, 2, 5, 2 in use" in found
    assert versions(model) == ["0001", "0002", "0005"]
    assert "deleted versions 3, 4" in said(capsys, "history", model)
    assert "version 1 of model is in use" in said(capsys, "rollback", model)
    assert "deleted nothing" in said(capsys, "prune", model, "--keep", 5)
    assert "--keep must be at least 1" in said(capsys, "prune", model, "--keep", 0, code=2)


def test_a_prune_that_was_killed_is_finished_by_the_next(model, zoo, capsys, monkeypatch):
    learn(model, zoo, "dog")
    learn(model, zoo, "ant")

    def killed(path):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("holdfast.store.prune.shutil.rmtree", killed)
        said(capsys, "prune", model, "--keep", 1, code=130)
    assert sorted(ModelFolder(model).index().manifests) == ["3", "4"]  # the index went first
    assert versions(model) == ["0001", "0002", "0003", "0004"]
    assert len(scores(model, zoo)) == 4
    assert told(capsys, "prune", model, "--keep", 1)["deleted"] == []
    assert versions(model) == ["0003", "0004"]


def test_links_are_not_followed_when_versions_are_deleted(model, zoo, tmp_path, capsys):
    learn(model, zoo, "dog")
    folder = tmp_path / "model" / "versions"
    elsewhere = tmp_path / "elsewhere"
    shutil.move(folder / "0001", elsewhere)
    (folder / "0001").symlink_to(elsewhere)
    assert "links are not followed" in said(capsys, "prune", model, "--keep", 1, code=2)
    assert sorted(p.name for p in elsewhere.iterdir()) == ["manifest.json", "state.safetensors"]
