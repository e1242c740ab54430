"""``frozen:adapt=...`` through every door: the classifier, run, learn, and a model in other programs."""

import json
import pickle

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.base import clone

import adaptable  # noqa: F401 - registers the backbone
from holdfast import HoldfastClassifier
from holdfast.cli import main
from holdfast.learner import make_backbone
from holdfast.store.model import ModelFolder
from terminal import said

WAYS = ("norm", "lora:2")  # the others differ in which weights move: tests/learner/test_adapt.py
SHAPE = (3, 8, 8)


@pytest.fixture(params=WAYS)
def way(request):
    if request.param.startswith("lora"):
        pytest.importorskip("peft")
    return request.param


def pixels(*labels, each=12):
    """(N, 3, 8, 8) uint8 of classes that differ in brightness, and their labels."""
    chance = np.random.default_rng(len(labels[0]) + 10 * len(labels))
    y = np.repeat(labels, each)
    level = np.array([17 * (ord(name[0]) - ord("a")) for name in y])
    noise = chance.integers(0, 60, (len(y), *SHAPE))
    return (noise + level[:, None, None, None]).clip(0, 255).astype(np.uint8), y


def weights(core):
    return {name: t.detach().clone() for name, t in core.learner.backbone.state_dict().items()}


def moved(before, after):
    return {name for name in before if not torch.equal(before[name], after[name])}


def original():
    return dict(make_backbone("adaptable", SHAPE).state_dict())


def classifier(way, **options):
    values = {"epochs": 3, "batch": 6, "lr": 0.05, "device": "cpu", "random_state": 0} | options
    return HoldfastClassifier(f"frozen:adapt={way}", backbone="adaptable", **values)


# HoldfastClassifier


def test_the_classifier_adapts_in_its_first_call_alone(way):
    model = classifier(way).partial_fit(*pixels("ant", "kid"))
    first = weights(model.continual_)
    assert moved(original(), first)
    model.partial_fit(*pixels("owl")).partial_fit(*pixels("ant", "doe"))
    assert not moved(first, weights(model.continual_))
    assert [note.epochs for note in model.continual_.progress.notes] == [3, 0, 0]
    assert model.classes_.tolist() == ["ant", "doe", "kid", "owl"] and model.holdings_.images == 0
    x, _ = pixels("ant", "kid", "owl", "doe")
    expected = model.predict_proba(x)
    twin = clone(model).partial_fit(*pixels("ant", "kid")).partial_fit(*pixels("owl"))
    twin.partial_fit(*pixels("ant", "doe"))
    for other in (twin, pickle.loads(pickle.dumps(model))):
        assert np.array_equal(other.predict_proba(x), expected)
    assert not moved(first, weights(model.fit(*pixels("ant", "kid")).continual_))


def test_a_call_that_fails_leaves_the_adapted_classifier_as_it_was():
    model = classifier("all").partial_fit(*pixels("ant", "kid"))
    x, y = pixels("ant", "kid")
    before = model.predict_proba(x)
    with pytest.raises(ValueError, match="must match"):
        model.partial_fit(x, y[:-1])
    with pytest.raises(ValueError, match="must match"):
        model.fit(x, y[:-1])
    assert np.array_equal(model.predict_proba(x), before)


def test_vectors_adapt_a_network_that_takes_them():
    x, y = pixels("ant", "kid", "owl")
    x = x[:, 0, 0].astype(float)
    model = classifier("norm").partial_fit(x[y != "owl"], y[y != "owl"])
    first = weights(model.continual_)
    model.partial_fit(x[y == "owl"], y[y == "owl"])
    assert not moved(first, weights(model.continual_))
    assert model.score(x, y) > 0.8


def test_vectors_without_a_network_are_refused():
    with pytest.raises(ValueError, match="without weights cannot be adapted"):
        HoldfastClassifier("frozen:adapt=norm").fit(np.eye(4), [0, 1, 0, 1])


# holdfast run


def test_a_run_adapts_in_its_first_task(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    small = [
        "--backbone",
        "adaptable",
        "--per-class",
        "12",
        "--test-per-class",
        "10",
        "--tasks",
        "2",
    ]
    small += ["--epochs", "2", "--quiet", "--out"]
    for name, words in {
        "text": ["frozen:adapt=norm"],
        "flag": ["frozen", "--adapt", "norm"],
    }.items():
        assert main(["run", *words, *small, name]) == 0
    text, flag = (
        json.loads((tmp_path / name / "result.json").read_text()) for name in ("text", "flag")
    )
    assert [task["epochs"] for task in text["tasks"]] == [2, 0]
    assert text["class_il"] == flag["class_il"]
    assert text["config"]["recipe"]["adapt"] == "norm"


# holdfast learn, and where its model goes


def folder(root, *labels, each=12):
    x, y = pixels(*labels, each=each)
    for i, (image, label) in enumerate(zip(x, y)):
        (root / label).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.transpose(1, 2, 0)).save(root / label / f"{i}.png")
    return str(root)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    return folder(root / "first", "ant", "kid"), folder(root / "second", "owl")


def taught(place, way, data):
    """A model that was made from the first data and taught the second."""
    new = ["--recipe", f"frozen:adapt={way}", "--backbone", "adaptable", "--size", "8"]
    training = ["--first-epochs", "3", "--batch", "6", "--lr", "0.05", "--quiet"]
    assert main(["learn", str(place), "--data", data[0], *new, *training]) == 0
    assert main(["learn", str(place), "--data", data[1], "--quiet"]) == 0
    return ModelFolder(place)


def test_a_stored_model_adapts_once_and_answers_everywhere_alike(way, data, tmp_path, capsys):
    model = taught(tmp_path / "zoo", way, data)
    (one, first), (two, second) = model.load(1), model.load(2)
    assert moved(original(), weights(one)) and not moved(weights(one), weights(two))
    assert (first.update["epochs"], second.update["epochs"]) == (3, 0)
    assert two.learner.backbone.frozen and two.labels == ["ant", "kid", "owl"]
    x = torch.from_numpy(pixels("ant", "kid", "owl")[0])
    scores = two.scores(x)
    direct = classifier(way, random_state=None).partial_fit(*pixels("ant", "kid"))
    assert moved(weights(direct.continual_), original()) == moved(weights(two), original())

    pytest.importorskip("onnxruntime")
    from holdfast.serve.onnx_file import session_of

    file = tmp_path / "zoo.onnx"
    assert main(["export", str(model.path), "--to", "onnx", "--out", str(file)]) == 0
    logits = session_of(file).run(None, {"pixels": x.numpy()})[0]
    torch.testing.assert_close(torch.from_numpy(logits), scores.float(), rtol=1e-4, atol=1e-4)
    capsys.readouterr()
    assert main(["predict", str(model.path), data[1], "--json"]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    names = [two.labels[k] for k in scores[24:].argmax(1)]
    assert sorted(answer["class"] for answer in answers) == sorted(names)


def test_two_that_were_adapted_apart_are_not_merged_and_removal_says_what_stays(
    data, tmp_path, capsys
):
    one, two = (
        taught(tmp_path / name, "norm", parts) for name, parts in (("a", data), ("b", data[::-1]))
    )
    text = said(capsys, "merge", one.path, two.path, "--out", tmp_path / "both", code=2)
    assert "the backbone of the one is" in text and not (tmp_path / "both").exists()
    text = said(capsys, "remove", one.path, "owl", "--data", data[1])
    assert "adapted weights" not in text
    removal = "remove", two.path, "owl", "--data", data[1]
    assert "the adapted weights of the backbone trained on its images" in said(
        capsys, *removal, code=2
    )
    assert two.manifest().version == 2
    text = said(capsys, *removal, "--readout-only")
    assert "the adapted weights of the backbone did" in text and two.manifest().version == 3
