"""The example for devices: without torch and holdfast, it answers as the model does."""

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from holdfast.cli import main
from holdfast.serve.predictor import Predictor
from holdfast.store.model import ModelFolder
from holdfast.stream.folder import read_images
from holdfast.stream.levels import Levels

EDGE = Path(__file__).parents[2] / "examples" / "edge.py"
PROGRAM = f"""
import runpy, sys
sys.argv = ["edge.py", *sys.argv[1:]]
runpy.run_path({str(EDGE)!r}, run_name="__main__")
strangers = sorted({{"torch", "holdfast", "onnx"}} & set(sys.modules))
assert strangers == [], strangers
"""


@pytest.fixture(scope="module")
def exported(zoo, tmp_path_factory):
    out = tmp_path_factory.mktemp("edge") / "m.onnx"
    assert main(["export", str(zoo / "model"), "--out", str(out)]) == 0
    return out


@pytest.fixture
def pictures(zoo, tmp_path):
    """Images of every kind: as learned, large, grey, clear, turned by EXIF, of a palette."""
    first, *more = sorted(zoo.glob("part*/*/0.png"))
    with Image.open(first) as image:
        whole = image.convert("RGB").resize((200, 130), Image.Resampling.BICUBIC)
    whole.save(tmp_path / "large.jpg")
    whole.resize((1200, 900)).save(tmp_path / "huge.jpg")
    whole.convert("L").save(tmp_path / "grey.png")
    whole.convert("P").save(tmp_path / "palette.gif")
    clear = whole.convert("RGBA")
    clear.putalpha(whole.convert("L"))
    clear.save(tmp_path / "clear.png")
    turned = Image.Exif()
    turned[0x0112] = 6
    whole.save(tmp_path / "turned.jpg", exif=turned)
    names = ("large.jpg", "huge.jpg", "grey.png", "palette.gif", "clear.png", "turned.jpg")
    return [first, *more, *(tmp_path / name for name in names)]


def run(model, files, *flags):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(model), *map(str, files), *flags],
        capture_output=True, text=True, env={"PATH": os.environ["PATH"]}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_answers_as_the_model_without_torch_and_holdfast(exported, zoo, pictures):
    rows = [json.loads(line) for line in run(exported, pictures, "--json").splitlines()]
    predictor = Predictor(ModelFolder(zoo / "model").load(device="cpu")[0])
    answer = predictor(predictor.read(pictures)[0])
    assert len(rows) == len(pictures)
    for i, row in enumerate(rows):
        p = dict(row["top"])
        expected = dict(zip(predictor.classes, answer.probabilities[i].tolist()))
        assert p == pytest.approx(expected, abs=1e-4), row["image"]
        assert row["top"][0][0] == predictor.classes[int(answer.label[i])]
        assert row["unknown"] == bool(answer.unknown[i])


@pytest.mark.parametrize("fit, resize", [("squash", 0), ("crop", 0), ("crop", 10), ("pad", 0)])
def test_it_makes_the_squares_that_the_model_was_taught(fit, resize, pictures):
    prepare = runpy.run_path(str(EDGE))["prepare"]
    tall = pictures[-1].with_name("tall.png")
    with Image.open(pictures[-2]) as image:
        image.rotate(90, expand=True).save(tall)
    deep = pictures[-1].with_name("deep.png")
    ramp = (np.arange(40 * 30).reshape(30, 40) * 3).astype(np.uint16)
    Image.fromarray(ramp).save(deep)
    files = [*pictures, tall, deep]
    expected = read_images(files, 8, levels=Levels(0, 12), fit=fit, resize=resize)
    assert len(expected.x[0]) == len(files)
    notes = {"input": {"shape": [3, 8, 8], "fit": fit, "resize": resize}, "levels": [0, 12]}
    for file, pixels in zip(files, expected.x[0]):
        assert np.array_equal(prepare(file, notes), pixels.numpy()), file


def test_it_shows_the_best_classes(exported, pictures):
    lines = run(exported, pictures[:2], "--top", "2").splitlines()
    assert len(lines) == 2 and all(line.count("%") == 2 for line in lines)


def test_the_command_measures_what_it_wrote(zoo, tmp_path, capsys):
    data = tmp_path / "data"
    for part in ("part0", "part1"):
        for place in sorted((zoo / part).iterdir()):
            (data / place.name).parent.mkdir(exist_ok=True)
            os.symlink(place, data / place.name)
    out, flags = tmp_path / "s.onnx", ["--int8", "--data", str(data)]
    assert main(["export", str(zoo / "model"), "--out", str(out), *flags]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "3 layers in 8 bits" in text and "both say the same of" in text
    assert "float32 " in text and "int8 " in text and "/19 " in text  # every fifth of 24 calibrates
    assert json.loads(Path(f"{out}.json").read_text())["version"] == 2
    assert not list(tmp_path.glob("float32*"))


@pytest.mark.parametrize(
    "flags, words",
    [
        (["--to", "torch", "--int8"], "--int8 and --data are for ONNX"),
        (["--data", "{zoo}/part0/class0"], "no images in class folders"),
    ],
)
def test_an_export_that_makes_no_sense_is_refused(flags, words, zoo, tmp_path, capsys):
    flags = [flag.format(zoo=zoo) for flag in flags]
    out = tmp_path / "m.onnx"
    assert main(["export", str(zoo / "model"), "--out", str(out), *flags]) == 2
    assert words in " ".join(capsys.readouterr().err.split()) and not out.exists()
