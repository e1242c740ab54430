"""Folders of images at the command line: what is read, what is said, and the exit code."""

import json

import numpy as np
import pytest
from PIL import Image

from holdfast.cli import main
from holdfast.serve.predictor import Predictor
from holdfast.store.model import ModelFolder
from holdfast.stream.folder import read_images
from holdfast.stream.levels import Levels


def put(path, value, kind=np.uint8):
    path.parent.mkdir(parents=True, exist_ok=True)
    chance = np.random.default_rng(value).integers(0, 50, (8, 8))
    Image.fromarray((value + chance).astype(kind)).save(path)
    return path


def classes(root, names=("ant", "bee"), kind=np.uint8, step=100):
    for k, name in enumerate(names):
        for i in range(4):
            put(root / name / f"{i}.png", step * k + i, kind)
    return root


@pytest.fixture
def learned(tmp_path):
    """A model of two classes, learned in one epoch."""
    zoo = tmp_path / "zoo"
    data = classes(tmp_path / "data")
    assert main(["learn", str(zoo), "--data", str(data), "--epochs", "1", "--quiet"]) == 0
    return zoo


def test_learn_takes_the_training_part_and_says_so(tmp_path, capsys):
    classes(tmp_path / "data" / "train")
    classes(tmp_path / "data" / "val")
    (tmp_path / "data" / "val" / "ant" / "0.png").unlink()
    zoo, data = str(tmp_path / "zoo"), str(tmp_path / "data")
    assert main(["learn", zoo, "--data", data, "--epochs", "1"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "8 images of 2 classes: ant 4, bee 4" in text and "data/train" in text
    assert main(["evaluate", zoo, "--data", data, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert {name: c["images"] for name, c in report["classes"].items()} == {"ant": 3, "bee": 4}


def test_predict_lists_what_it_left_out_and_exits_2_if_it_may_be_an_image(
    learned, tmp_path, capsys
):
    inbox = tmp_path / "inbox"
    put(inbox / "a.png", 3)
    put(inbox / "b.pgm", 3)
    (inbox / "notes.txt").write_text("x")
    assert main(["predict", str(learned), str(inbox), "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    names = [(row["image"].rsplit("/", 1)[1], "class" in row) for row in rows]
    assert names == [("a.png", True), ("b.pgm", True), ("notes.txt", False)]
    (inbox / "d.heic").write_bytes(b"x")
    assert main(["predict", str(learned), str(inbox)]) == 2
    text = capsys.readouterr().out
    assert "2 files skipped" in text and "no image by its name" in text


def test_a_file_that_is_named_is_tried_whatever_its_suffix(learned, tmp_path, capsys):
    odd = put(tmp_path / "a.png", 3).rename(tmp_path / "photo.heic")
    assert main(["predict", str(learned), str(odd), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["class"] in ("ant", "bee")


def test_a_folder_without_images_says_which_suffixes_are_read(learned, tmp_path, capsys):
    (tmp_path / "none").mkdir()
    assert main(["predict", str(learned), str(tmp_path / "none")]) == 2
    assert "suffixes that are read are .png" in " ".join(capsys.readouterr().err.split())


def test_strict_data_refuses_a_broken_file_before_anything_is_learned(tmp_path, capsys):
    classes(tmp_path / "data")
    (tmp_path / "data" / "ant" / "broken.png").write_bytes(b"x")
    zoo, data = tmp_path / "zoo", str(tmp_path / "data")
    assert main(["learn", str(zoo), "--data", data, "--epochs", "1", "--strict-data"]) == 2
    assert "broken.png is not a readable image" in " ".join(capsys.readouterr().err.split())
    assert not zoo.exists()


def test_a_model_reads_deep_greys_as_it_learned_them(tmp_path, capsys):
    data = classes(tmp_path / "data", kind=np.uint16, step=3900)
    zoo = str(tmp_path / "zoo")
    assert main(["learn", zoo, "--data", str(data), "--epochs", "1"]) == 0
    assert "greys of 12 bits: 0 is black, 4095 is white" in " ".join(
        capsys.readouterr().out.split()
    )
    more = classes(tmp_path / "more", ("cow", "dog"), np.uint16, 90)
    assert main(["learn", zoo, "--data", str(more), "--epochs", "1", "--quiet"]) == 0
    core, manifest = ModelFolder(tmp_path / "zoo").load()
    assert manifest.version == 2 and manifest.blueprint["levels"] == [0, 12]
    dark = more / "dog" / "0.png"
    assert main(["predict", zoo, str(dark), "--json"]) == 0
    row = json.loads(capsys.readouterr().out.splitlines()[-1])
    pixels = read_images([dark], levels=Levels(0, 12)).x[0]
    answer = Predictor(core)(pixels)
    assert pixels.max() == 8 and row["class"] == core.labels[int(answer.label[0])]
    assert row["probability"] == pytest.approx(float(answer.probability[0]), abs=1e-5)
