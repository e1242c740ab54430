"""learn looks at its data and at what a version costs before it is used."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from holdfast.cli import main
from holdfast.store.model import ModelFolder
from terminal import said

NAMES = ("ant", "bee", "cat", "dog")


def pixels(label, i):
    """A picture of 64 pixels: a class has a colour, every picture of it other noise."""
    noise = np.random.default_rng([label, i]).normal(0, 30, (64, 64, 3))
    return (np.array([40 + 50 * label, 200 - 40 * label, 90]) + noise).clip(0, 255).astype("uint8")


def folder(root, labels, numbers, name=None):
    """Pictures of some classes in class folders."""
    for k in labels:
        place = root / (name or NAMES[k])
        place.mkdir(parents=True, exist_ok=True)
        for i in numbers:
            Image.fromarray(pixels(k, i)).save(place / f"{NAMES[k]}{i}.png")
    return root


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    """Features of 24 pictures a class, from a table: what exact statistics learn in no time."""
    root = tmp_path_factory.mktemp("zoo")
    g = np.random.default_rng(0)
    centres = g.normal(size=(4, 16)) * 3

    def write(name, labels, each, seed, at=centres):
        rows = np.random.default_rng(seed).normal(size=(len(labels) * each, 16))
        y = np.repeat(labels, each)
        np.savez(root / name, x=(rows + at[y]).astype("float32"), y=np.array(NAMES)[y])

    write("old.npz", [0, 1], 24, 1)
    write("new.npz", [2, 3], 24, 2)
    write("golden.npz", [0, 1, 2, 3], 20, 3)
    near = centres.copy()
    near[2] = centres[0]  # what is called a cat looks like an ant
    write("alike.npz", [2, 3], 24, 4, near)
    assert main(["learn", str(root / "m"), "--data", str(root / "old.npz"), "--quiet"]) == 0
    return root


@pytest.fixture
def model(zoo, tmp_path, monkeypatch):
    """A copy of the model of two classes, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return shutil.copytree(zoo / "m", tmp_path / "m")


def versions(model):
    return sorted(p.name for p in (model / "versions").iterdir())


def test_a_class_that_takes_over_an_old_one_is_not_published_by_default(model, zoo, capsys):
    flags = ["--data", zoo / "alike.npz", "--golden", zoo / "golden.npz"]
    refused = said(capsys, "learn", "m", *flags, code=3)
    assert "'ant' loses" in refused and "more than --max-class-drop 20" in refused
    assert "Version 1 stays in use" in refused and versions(model) == ["0001"]
    again = said(capsys, "learn", "m", *flags, "--resume", "--yes")
    assert "learned already" in again and "version 2 of m is in use" in again
    assert ModelFolder(model).manifest().update["golden"]["refused"]


def test_what_costs_nothing_is_published_with_its_page(model, zoo, capsys):
    out = said(capsys, "learn", "m", "--data", zoo / "new.npz", "--golden", zoo / "golden.npz")
    assert "calibration error" in out and "known images are called unknown" in out
    page = (model / "versions" / "0002" / "release.html").read_text()
    assert "<h1>Version 2 of" in page and "golden images" in page
    assert "every file is as it was written" in said(capsys, "inspect", "m")
    figures = ModelFolder(model).manifest().update["golden"]
    assert figures["lost"] == 0 and figures["from"] == "golden images"
    assert sum(n for _, n in figures["after"].values()) == 80


def test_without_golden_images_a_group_of_the_new_ones_is_measured_on(model, zoo, capsys):
    out = said(capsys, "learn", "m", "--data", zoo / "new.npz")
    assert "images kept aside" in out and "2 old classes were not measured" in out
    update = ModelFolder(model).manifest().update
    assert update["images"] == {"cat": 24, "dog": 24}  # they are learned all the same
    assert 4 <= sum(n for _, n in update["golden"]["after"].values()) <= 24
    assert set(update["golden"]["earlier"]) == {"ant", "bee"}
    assert update["golden"]["earlier"]["ant"][2] == 1


def test_a_limit_that_was_set_needs_images_of_old_classes(model, zoo, capsys):
    for flag in ("--max-drop", "--max-class-drop"):
        out = said(capsys, "learn", "m", "--data", zoo / "new.npz", flag, "3", code=2)
        assert f"{flag} needs images to measure on" in out


def test_golden_images_that_are_learned_measure_nothing(model, zoo, capsys):
    flags = ["--data", zoo / "new.npz", "--golden", zoo / "new.npz"]
    out = said(capsys, "learn", "m", *flags, code=3)
    assert "48 of 48 golden images are also among those to be learned" in out
    assert "nothing was learned" in out and versions(model) == ["0001"]
    assert not (model / "update.safetensors").exists()
    assert "version 2 of m" in said(capsys, "learn", "m", *flags, "--yes")


def test_a_picture_under_two_names_is_not_learned(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    folder(tmp_path / "data", [0, 1], range(6))
    folder(tmp_path / "data", [0], range(3), name="bee")
    out = said(capsys, "learn", "m", "--data", "data", "--recipe", "fnc2_strict", code=3)
    assert "6 images are in the data under more than one class" in out
    assert not (tmp_path / "m").exists()


def test_json_is_one_object_and_nothing_else(model, zoo, capsys):
    code = main(["learn", "m", "--data", str(zoo / "new.npz"), "--json"])
    content = json.loads(capsys.readouterr().out)
    assert code == 0 and content["published"] and content["version"] == 2
    assert content["update"]["new_classes"] == ["cat", "dog"]
    assert content["page"] == "m/versions/0002/release.html" and content["reasons"] == []
    flags = ["--data", str(zoo / "new.npz"), "--golden", str(zoo / "new.npz"), "--json"]
    assert main(["learn", "m", *flags]) == 3
    content = json.loads(capsys.readouterr().out)
    assert not content["published"] and content["version"] == 2
    assert content["findings"][0]["kind"] == "golden" and content["page"] is None


def test_a_page_that_cannot_be_written_is_no_failure(model, zoo, capsys, monkeypatch):
    def fail(*_):
        raise OSError("no space left")

    monkeypatch.setattr("holdfast.release.page.atomic_write", fail)
    out = said(capsys, "learn", "m", "--data", zoo / "new.npz")
    assert "version 2 of m is in use" in out and "release.html" not in out


def test_pictures_on_the_page_are_as_many_as_were_asked_for(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    folder(tmp_path / "data", [0, 1], range(24))
    flags = ["--recipe", "frozen", "--backbone", "resnet18", "--width", "4", "--device", "cpu"]
    for pictures, name in ((3, "a"), (0, "b")):
        said(capsys, "learn", name, "--data", "data", *flags, "--pictures", pictures)
        page = (tmp_path / name / "versions" / "0001" / "release.html").read_text()
        assert page.count("data:image/jpeg") == pictures
