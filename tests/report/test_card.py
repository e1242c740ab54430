"""Model cards: what the hub reads of them, and that figures carry their certainty."""

import json

import pytest

from holdfast.cli import main
from holdfast.release.model_card import card_of_model
from holdfast.report.card import card_text
from holdfast.report.wilson import wilson
from holdfast.store.manifest import Manifest
from written import result, write

EVIL = "a|b <script> `x` [y](z)\n---\nlicense: mit"


@pytest.fixture
def runs(tmp_path):
    for recipe, first in (("lwf", 0.5), ("si", 0.2)):
        for seed in range(3):
            data = result(recipe, seed, last=first + 0.1 * seed, T=2.0)
            data["data"] |= {"stream": "cifar10", "classes": [*"abcde", EVIL]}
            write(tmp_path / f"{recipe}{seed}", data)
    return tmp_path


def read(folder, capsys, *words):
    """The card of a command, as the hub's own reader takes it."""
    hub = pytest.importorskip("huggingface_hub")
    assert main(["card", *map(str, words)]) == 0, capsys.readouterr().err
    capsys.readouterr()
    text = (folder / "README.md").read_text("utf-8")
    return hub.ModelCard(text), text


def test_the_card_of_a_run_is_read_by_the_hub(runs, capsys):
    folder = runs / "lwf0"
    card, text = read(folder, capsys, folder)
    data = card.data.to_dict()
    assert data["library_name"] == "holdfast" and data["datasets"] == ["uoft-cs/cifar10"]
    assert {"continual-learning", "lwf", "strict"} <= set(data["tags"])
    assert data["metrics"] == ["accuracy"] and "license" not in data
    figures = {r.metric_name: r.metric_value for r in card.data.eval_results}
    assert figures["Class-IL accuracy (all classes)"] == 0.5
    assert {r.dataset_type for r in card.data.eval_results} == {"cifar10"}
    low, high = wilson(30, 60)
    assert f"| 50.0 % | {100 * low:.1f} to {100 * high:.1f} by its 60 test rows (95 %) |" in text
    assert "One run: what another seed or order would have given is not known." in text
    assert "protocol: strict" in text and "task 1: a, b" in text and "T=2.0" in text
    assert "<script>" not in text and text.count("\n---\n") == 1


def test_further_runs_of_the_method_say_how_sure_its_figures_are(runs, capsys):
    words = [
        runs / "lwf1",
        runs / "lwf0",
        runs / "lwf2",
        "--license",
        "apache-2.0",
        "--name",
        "mine",
    ]
    card, text = read(runs / "lwf1", capsys, *words)
    assert card.data.license == "apache-2.0" and card.data.model_name == "mine"
    assert "| 60.0 % |" in text and "60.0 ± 24.8 over 3 runs (95 % t interval)" in text
    assert "3 runs are few" in text


def test_what_has_no_card_is_one_sentence(runs, capsys):
    for words, sentence in (
        (
            [runs / "lwf0", runs / "si0"],
            "a card is of one method, and these runs are of 2: lwf, si",
        ),
        ([runs], "is the folder of neither a run nor a model"),
        ([runs / "lwf0", "--version", "2"], "--version is of a model"),
        ([], "needs the folder of a run or of a model"),
    ):
        assert main(["card", *map(str, words)]) == 2
        assert sentence in " ".join(capsys.readouterr().err.split())
    assert not (runs / "lwf0" / "README.md").exists()
    (runs / "lwf0" / "README.md").write_text("mine")
    assert main(["card", str(runs / "lwf0")]) == 2 and "--overwrite" in capsys.readouterr().err
    assert (runs / "lwf0" / "README.md").read_text() == "mine"


def manifest(golden):
    return Manifest(
        "id", 2, 1, "2026-01-02", {"recipe": "fnc2_strict", "parameters": {"tau": 0.1}},
        [{"name": n, "version": 1 + (n == "owl")} for n in ("cat", "dog", "owl")],
        {"shape": [3, 32, 32], "mean": [0], "std": [1]},
        {"images": 0, "floats": 10, "bytes": 40, "past_network_floats": 0}, {"golden": golden},
        {"holdfast": "0.1.0"}, {},
    )  # fmt: skip


def test_the_card_of_a_model_has_the_figures_of_its_golden_images():
    hub = pytest.importorskip("huggingface_hub")
    after = {"cat": [8, 10], "owl": [9, 10]}
    golden = {
        "from": "golden images",
        "after": after,
        "calibration_error": 0.07,
        "calibration_floor": 0.05,
    }
    text = card_text(card_of_model(manifest(golden), "zoo"))
    card = hub.ModelCard(text)
    assert card.data.eval_results[0].metric_value == 0.85 and card.data.pipeline_tag
    low, high = wilson(17, 20)
    assert f"{100 * low:.1f} to {100 * high:.1f} by its 20 images" in text
    assert "would show 5.0" in text and "Not measured with this version: dog." in text
    assert "classes of version 2: owl" in text and 'holdfast.load("zoo")' in text
    none = card_text(card_of_model(manifest(None), "zoo"))
    assert "Nothing was measured." in none and hub.ModelCard(none).data.eval_results is None
    json.dumps(hub.ModelCard(none).data.to_dict())
