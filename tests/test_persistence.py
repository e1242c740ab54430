"""A classifier as a model folder: the same answers, labels of their kind, and further versions."""

import json

import numpy as np
import pytest
from sklearn.datasets import load_digits, load_iris

from holdfast import ConfigError, HoldfastClassifier, Method, StoreError
from holdfast.loss import CrossEntropy
from holdfast.store.model import ModelFolder

X, Y = load_iris(return_X_y=True)


def taught(**options):
    model = HoldfastClassifier(random_state=0, **options)
    for rows in (Y < 2, Y == 2):
        model.partial_fit(X[rows], Y[rows])
    return model


def test_a_classifier_comes_back_with_its_labels_and_learns_on(tmp_path):
    model = taught()
    assert (model.save(tmp_path / "m"), model.save(tmp_path / "m")) == (1, 2)
    back = HoldfastClassifier.load(tmp_path / "m")
    assert back.classes_.dtype.kind == "i" and back.classes_.tolist() == [0, 1, 2]
    assert np.array_equal(back.predict_proba(X), model.predict_proba(X))
    for other in (back, model):
        other.partial_fit(X[:20] + 30, np.full(20, 7))
    assert np.array_equal(back.predict_proba(X), model.predict_proba(X))
    assert back.save(tmp_path / "m") == 3
    assert HoldfastClassifier.load(tmp_path / "m", version=1).classes_.tolist() == [0, 1, 2]
    assert ModelFolder(tmp_path / "m").manifest().classes[-1]["name"] == "7"


def test_parameters_and_deep_recipes_come_back(tmp_path):
    digits = load_digits()
    rows = digits.target < 2
    images = (digits.images[rows] / 16 * 255).astype(np.uint8)
    seen = []
    progress = lambda *step: seen.append(step)
    options = {"recipe": "finetune", "epochs": 2, "width": 8, "device": "cpu", "batch": 64}
    model = HoldfastClassifier(random_state=3, progress=progress, **options)
    model.fit(images, digits.target[rows].astype(str))
    assert seen == [("epochs", 1, 2), ("epochs", 2, 2)]
    model.save(tmp_path / "m")
    back = HoldfastClassifier.load(tmp_path / "m", device="cpu")
    assert {name: back.get_params()[name] for name in options} == options
    assert back.shape_in_ == (1, 8, 8) and back.classes_.tolist() == ["0", "1"]
    assert np.array_equal(back.predict_proba(images), model.predict_proba(images))


def test_a_model_of_the_command_line_is_a_classifier(tmp_path):
    import holdfast

    holdfast.learn(tmp_path / "m", (X, np.array(["a", "b", "c"])[Y]), yes=True)
    model = HoldfastClassifier.load(tmp_path / "m")
    answers = [a.label for a in holdfast.load(tmp_path / "m").predict(X)]
    assert model.predict(X).tolist() == answers and model.recipe == "frozen"
    assert model.partial_fit(X[:5] + 40, ["d"] * 5).classes_.tolist() == ["a", "b", "c", "d"]


def test_what_cannot_be_saved_or_loaded_is_said(tmp_path):
    by_value = HoldfastClassifier(Method(CrossEntropy()), epochs=1, device="cpu").fit(X, Y)
    with pytest.raises(ConfigError, match="register it as a recipe"):
        by_value.save(tmp_path / "m")
    taught().save(tmp_path / "m")
    with pytest.raises(ConfigError, match="choose another folder"):
        HoldfastClassifier().fit(X[:, :2], Y).save(tmp_path / "m")
    with pytest.raises(StoreError):
        HoldfastClassifier.load(tmp_path / "nowhere")
    path = tmp_path / "m" / "versions" / "0001" / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"update": {"classifier": 3}}))
    with pytest.raises(StoreError):
        HoldfastClassifier.load(tmp_path / "m")


def test_the_likeliest_and_the_unknown():
    model = taught()
    labels, p = model.top_k(X, 2)
    assert np.array_equal(labels[:, 0], model.predict(X)) and labels.shape == (150, 2)
    assert np.array_equal(p, -np.sort(-model.predict_proba(X))[:, :2])
    assert model.top_k(X, 9)[0].shape == (150, 3)
    assert model.unknown(X).mean() <= 0.08
    away = np.eye(8)[Y] * 9 + np.random.default_rng(0).normal(size=(150, 8))
    blobs = HoldfastClassifier(random_state=0).fit(away, Y)
    assert blobs.unknown(away).mean() <= 0.08 and blobs.unknown(np.roll(away, 4, 1)).mean() > 0.9
    assert blobs.unknown(away * 8).mean() > 0.9 and blobs.unknown(away * 1e6).all()
    with pytest.raises(ConfigError, match="at least 1"):
        model.top_k(X, 0)
    with pytest.raises(ConfigError, match="between 0 and 1"):
        model.unknown(X, 2)
    with pytest.raises(ConfigError, match="cannot tell what is unknown"):
        HoldfastClassifier("finetune", epochs=1, device="cpu").fit(X, Y).unknown(X)


@pytest.mark.parametrize("name", ["readout", "backbone", "width", "augment", "protocol", "device"])
@pytest.mark.parametrize("more", [{}, {"epochs": 1}], ids=["statistics", "trained"])
def test_none_for_a_parameter_is_its_default(name, more):
    model = HoldfastClassifier(random_state=0, **more).set_params(**{name: None})
    assert model.fit(X, Y).classes_.tolist() == [0, 1, 2]
