"""Files that the first version wrote still load: models, a stopped update, stopped runs.

They were made by that version from pictures that are drawn here anew, and from few digits.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from holdfast import Continual, Setup
from holdfast.cli import main
from holdfast.recipes import make
from holdfast.recipes.former import EDITION
from holdfast.store.model import ModelFolder

FILES = Path(__file__).parents[1] / "data" / "format1"
RUNS = ("er", "derpp", "online_ewc", "si", "lwf_strict", "fnc2_strict")
UNCHANGED = ("er", "derpp", "online_ewc")  # whose steps are what they were, to the bit


def picture(k, i):
    r = np.random.default_rng([k, i])
    a = np.full((8, 8, 3), 40.0)
    a[:, :, k % 3] += 120
    a[:4, :, (k + 1) % 3] += 60 * (k // 3)
    return Image.fromarray((a + r.normal(0, 10, a.shape)).clip(0, 255).astype(np.uint8))


def inputs():
    pictures = [np.asarray(picture(k, 100)) for k in range(4)]
    return torch.from_numpy(np.stack(pictures).transpose(0, 3, 1, 2).copy())


def expected(name):
    stored = json.loads((FILES / name).read_text())
    return torch.tensor(stored["scores"]), stored["labels"]


def test_a_model_gives_the_scores_it_gave():
    core, manifest = ModelFolder(FILES / "model").load(device="cpu")
    scores, labels = expected("model-scores.json")
    assert core.labels == labels == ["ant", "bee", "cow", "dog"] and manifest.version == 2
    now = core.scores(inputs())  # about another centre than then: a number a row differs
    now, scores = now - now.mean(1, True), scores - scores.mean(1, True)
    torch.testing.assert_close(now, scores, rtol=1e-3, atol=2e-3)
    assert list(core.readouts) == ["gaussian", "mean"]
    assert core.setup.training.epochs == 3 and core.method.dim == 4


def test_an_update_that_was_stopped_goes_on(tmp_path):
    model, data = tmp_path / "zoo", tmp_path / "third"
    shutil.copytree(FILES / "stopped", model)
    (data / "eel").mkdir(parents=True)
    for i in range(10):
        picture(4, i).save(data / "eel" / f"{i}.png")
    flags = ["--epochs", "4", "--quiet", "--device", "cpu"]
    assert main(["learn", str(model), "--data", str(data), *flags, "--resume"]) == 0
    core, manifest = ModelFolder(model).load(device="cpu")
    assert (manifest.version, core.labels) == (3, expected("stopped-scores.json")[1])
    assert core.scores(inputs()).isfinite().all()


def test_a_run_that_was_stopped_has_the_defaults_of_its_time(tmp_path, capsys):
    """Unless others are asked for, which are refused."""
    out = tmp_path / "run"
    shutil.copytree(FILES / "run-fnc2_strict", out)
    stored = json.loads((FILES / "run-fnc2_strict.json").read_text())
    words = [*stored["flags"], "--out", str(out), "--resume"]
    assert main([*words, "--decide", "gaussian:stages"]) == 2
    assert "gaussian:stages" in capsys.readouterr().err
    assert main(words) == 0
    assert "gaussian" in json.loads((out / "result.json").read_text())["readouts"]


@pytest.mark.parametrize("name", RUNS)
def test_a_run_that_was_stopped_goes_on(name, tmp_path, capsys):
    out = tmp_path / "run"
    shutil.copytree(FILES / f"run-{name}", out)
    stored = json.loads((FILES / f"run-{name}.json").read_text())
    flags = [*stored["flags"], "--out", str(out), "--resume"]
    assert main(flags) == 0, capsys.readouterr().err
    result = json.loads((out / "result.json").read_text())
    assert result["status"] == "complete"
    assert result["class_il"]["matrix"][0] == stored["class_il"][0]  # learned before it was stopped
    if name in UNCHANGED:
        assert result["class_il"]["matrix"] == stored["class_il"]
        assert result["task_il"]["matrix"] == stored["task_il"]


@pytest.mark.parametrize("edition", [None, 1, 2, 3])
def test_a_run_keeps_its_edition_through_every_stop(edition):
    cores = [
        Continual(make("lwf:weight=0.5"), (1, 8, 8), Setup.of("lwf", "quick")) for _ in range(2)
    ]
    state = cores[0].state()
    assert state.pop("edition") == EDITION
    cores[1].restore(state if edition is None else state | {"edition": edition})
    assert cores[1].state()["edition"] == (edition or state["identity"]["format"])


def test_a_run_with_other_settings_is_still_refused(tmp_path, capsys):
    out = tmp_path / "run"
    shutil.copytree(FILES / "run-er", out)
    stored = json.loads((FILES / "run-er.json").read_text())
    assert main([*stored["flags"], "--lr", "0.5", "--out", str(out), "--resume"]) == 2
    assert "training.lr" in capsys.readouterr().err
