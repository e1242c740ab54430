"""The example plugin: found with its origin, used by name, and never run because a file says so."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import holdfast
from holdfast.cli import main
from holdfast.core.settings import Network, Training
from holdfast.store.model import ModelFolder
from holdfast.store.update import Update
from holdfast.testing import textures
from holdfast.train.blueprint import Blueprint
from holdfast.train.setup import Setup

PLUGIN = Path(__file__).parents[1] / "examples" / "plugin"
LAYOUT = "holdfast_example"
FEW = ["--epochs", "2", "--first-epochs", "2", "--batch", "16", "--width", "8"]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder in which the plugin is installed; built from a copy, so that the sources stay clean."""
    root = tmp_path_factory.mktemp("plugin")
    copy = shutil.copytree(PLUGIN, root / "source", ignore=shutil.ignore_patterns("__pycache__"))
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    target = root / "target"
    command = [*pip, "--no-index", "--disable-pip-version-check", "--target", target, copy]
    subprocess.run([str(word) for word in command], check=True, capture_output=True)
    return target


def python(code, *arguments, plugin=None, cwd=None):
    """Code in a process of its own, with or without the plugin installed."""
    paths = [str(Path(holdfast.__file__).parents[1]), *([str(plugin)] if plugin else [])]
    env = os.environ | {
        "PYTHONPATH": os.pathsep.join(paths),
        "COLUMNS": "200",
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=env, cwd=cwd)


def command(*arguments, **options):
    """The command line."""
    code = "import sys; from holdfast.cli import main; sys.exit(main(sys.argv[1:]))"
    return python(code, *arguments, **options)


def checked(process):
    """Its output; fails the test unless it succeeded."""
    assert process.returncode == 0, process.stdout + process.stderr
    return process.stdout


def refused(process):
    """The one sentence with which it refused."""
    assert process.returncode == 2, process.stdout + process.stderr
    assert "Traceback" not in process.stderr
    lines = process.stderr.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: ")
    return lines[0]


LISTED = {
    "recipes": "similar", "readouts": "centroid", "sources": "spots", "backbones": "patches"
}  # fmt: skip


LISTING = """
import sys
from holdfast.cli import main
sys.exit(max(main([plural]) for plural in sys.argv[1:]))
"""


def test_its_parts_are_listed_with_their_origin(installed):
    lines = checked(python(LISTING, *LISTED, plugin=installed)).splitlines()
    without = checked(python(LISTING, *LISTED)).split()
    for name in LISTED.values():
        line = next(line for line in lines if line.startswith(name))
        assert line.rstrip().endswith("holdfast-example 0.1.0")
        assert name not in without


def test_a_run_takes_its_parts_by_name(installed, tmp_path):
    arguments = ["run", "similar:weight=3", "--stream", "spots:classes=4", "--tasks", "2", *FEW]
    arguments += ["--backbone", "patches", "--also", "centroid,mean", "--out", tmp_path / "out"]
    checked(command(*arguments, plugin=installed))
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert result["recipe"] == "similar" and result["readout"] == "centroid"
    assert result["status"] == "complete" and len(result["tasks"]) == 2


CLASSIFIER = """
import torch
from holdfast import HoldfastClassifier
from holdfast.stream import open_source
spots = open_source("spots")
x, y = spots.x.numpy(), spots.y.numpy()
model = HoldfastClassifier("similar", readout="centroid", backbone="patches", epochs=3, random_state=0)
model.partial_fit(x[y < 3], y[y < 3])
model.partial_fit(x[y >= 3], y[y >= 3])
print(model.predict(x).shape, len(model.classes_))
"""


def test_the_classifier_takes_its_parts_by_name(installed):
    assert checked(python(CLASSIFIER, plugin=installed)).split() == ["(180,)", "6"]


# a stored model names the plugin, and imports it only where the user named it


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    root = tmp_path_factory.mktemp("pictures")
    x, y = textures(6, 0)
    for place, (image, label) in enumerate(zip(x[y < 2], y[y < 2].tolist())):
        folder = root / f"kind{label}"
        folder.mkdir(exist_ok=True)
        Image.fromarray(image[0].numpy()).save(folder / f"{place}.png")
    return root


@pytest.fixture(scope="module")
def model(installed, pictures, tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "model"
    parts = ["--recipe", "similar", "--backbone", "patches", "--size", "8"]
    arguments = ["learn", path, "--data", pictures, *parts, *FEW, "--import", LAYOUT]
    checked(command(*arguments, plugin=installed))
    return path


def test_a_model_of_its_parts_is_learned_and_asked_with_import(model, installed, pictures):
    image = pictures / "kind0" / "0.png"
    output = checked(command("predict", model, image, "--import", LAYOUT, plugin=installed))
    assert "kind0" in output or "kind1" in output


LOADED = """
import sys
from holdfast.cli import main
code = main(sys.argv[1:])
print("imported" if "holdfast_example" in sys.modules else "never imported")
sys.exit(code)
"""


def test_a_model_folder_alone_never_makes_its_code_run(model, installed, pictures):
    image = pictures / "kind0" / "0.png"
    process = python(LOADED, "predict", model, image, plugin=installed)
    words = refused(process)
    assert "--import holdfast_example" in words and "patches" in words
    assert process.stdout.strip() == "never imported"


def test_where_it_is_not_installed_a_sentence_says_what_to_install(model, pictures):
    words = refused(command("predict", model, pictures / "kind0" / "0.png"))
    assert "install" in words and "holdfast-example" in words


@pytest.mark.slow
def test_the_plugins_own_tests_pass(installed):
    code = "import sys, pytest; sys.exit(pytest.main(sys.argv[1:]))"
    arguments = [
        PLUGIN / "test_holdfast_example.py",
        "-q",
        "-p",
        "no:cacheprovider",
        "-o",
        "addopts=",
    ]
    output = checked(python(code, *arguments, plugin=installed, cwd=installed))
    assert "passed" in output and "failed" not in output


# what a forged file names is never called

TRAP = "open('sprung', 'w').close()\ndef go(*args, **kwargs): open('sprung', 'w').close()\n"
FORGED = {
    "recipe": ("finetune", {"recipe": "trap:go"}),
    "dotted recipe": ("finetune", {"recipe": "trap.inner:go"}),
    "os": ("finetune", {"recipe": "os:system"}),
    "readout": ("finetune", {"readout": "trap:go"}),
    "also": ("finetune", {"also": ["trap:go"]}),
    "backbone": ("finetune", {"backbone": "trap:go"}),
    "views": ("finetune", {"augment": "trap:go"}),
    "divergence": ("lwf", {"divergence": "trap:go"}),
    "schedule": ("fnc2", {"alpha": "trap:go"}),
    "decide": ("lwf_strict", {"decide": "trap:go"}),
}


@pytest.fixture(scope="module")
def honest(tmp_path_factory):
    """Models of recipes of the package."""
    root = tmp_path_factory.mktemp("honest")
    x, y = textures(4, 0)
    kept = y < 2
    for recipe in sorted({recipe for recipe, _ in FORGED.values()}):
        folder = ModelFolder(root / recipe)
        training, network = Training(epochs=1, batch=4, lr=0.01), Network(width=4)
        setup = Setup(training, network, readout="mean" if recipe == "fnc2" else "auto")
        blueprint = Blueprint(recipe, (1, 8, 8), {}, setup)
        with folder.lock():
            labels = [f"kind{k}" for k in y[kept].tolist()]
            update = Update(folder, x[kept], labels, blueprint, "cpu")
            assert len(list(update.learn())) == 1
            update.publish({"images": {}})
    return root


def forge(path, values):
    """Let a model's manifest name other parts, with every hash as it must be."""
    folder = ModelFolder(path)
    manifest, index = folder.manifest(), folder.index()
    blueprint = manifest.blueprint
    for name, value in values.items():
        if name == "backbone":
            blueprint["model"]["backbone"] = value
        elif name in blueprint:
            blueprint[name] = value
        else:
            blueprint["parameters"][name] = value
    raw = manifest.to_text().encode()
    (path / "versions" / "0001" / "manifest.json").write_bytes(raw)
    index.manifests["1"] = hashlib.sha256(raw).hexdigest()
    (path / "current.json").write_text(index.to_text())


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_manifest_runs_nothing(name, honest, pictures, tmp_path, monkeypatch, capsys):
    recipe, values = FORGED[name]
    shutil.copytree(honest / recipe, tmp_path / "model")
    (tmp_path / "trap.py").write_text(TRAP)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    forge(tmp_path / "model", values)
    images = str(pictures / "kind0" / "0.png")
    for words in (
        ["predict", "model", images],
        ["evaluate", "model", "--data", str(pictures)],
        ["export", "model", "--to", "torch"],
        ["learn", "model", "--data", str(pictures), "--epochs", "1", "--quiet"],
        ["inspect", "model"],
        ["history", "model"],
    ):
        code = main(words)
        errors = capsys.readouterr().err
        assert "Traceback" not in errors
        assert code == 2 or words[0] in ("inspect", "history"), words
        assert not (tmp_path / "sprung").exists(), words
        assert "trap" not in sys.modules, words
    assert ModelFolder(tmp_path / "model").index().current == 1  # nothing was published either
