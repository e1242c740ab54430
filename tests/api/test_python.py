"""The commands from a program: the same answers, refusals and files as those of the command line."""

import json
import logging

import numpy as np
import pytest
from PIL import Image

import holdfast
from holdfast.core.errors import ConfigError, DataError

KINDS = ("cat", "dog", "owl")


def vectors(kinds=KINDS, each=30, seed=0):
    """Well separated classes of 16 numbers."""
    chance = np.random.default_rng(seed)
    centres = {kind: 5 * np.random.default_rng(i).normal(size=16) for i, kind in enumerate(KINDS)}
    x = np.concatenate([centres[kind] + chance.normal(size=(each, 16)) for kind in kinds])
    return x, np.repeat(kinds, each)


@pytest.fixture
def pets(tmp_path):
    """A model of two classes."""
    holdfast.learn(tmp_path / "pets", vectors(KINDS[:2]))
    return tmp_path / "pets"


def test_a_model_is_made_extended_and_asked(tmp_path):
    first = holdfast.learn(tmp_path / "pets", vectors(KINDS[:2]))
    assert (first.published, first.version, first.reasons, first.before) == (True, 1, [], {})
    assert first.stored["images"] == 0 and first.page.is_file()
    golden = vectors(seed=1)
    second = holdfast.learn(tmp_path / "pets", vectors(KINDS[2:]), golden, max_drop=2)
    assert (second.published, second.version, second.notes["new_classes"]) == (True, 2, ["owl"])
    assert set(second.before) == set(second.after) == set(KINDS) and second.accuracy > 0.95
    model = holdfast.load(tmp_path / "pets")
    x, y = vectors(seed=2)
    answers = model.predict(x, top_k=2, sets=0.9)
    assert [answer.label for answer in answers] == y.tolist() == [a.inside[0] for a in answers]
    assert [answer.top[0][0] for answer in answers] == y.tolist()
    assert all(len(answer.top) == 2 and answer.name == str(i) for i, answer in enumerate(answers))
    assert model.evaluate((x, y)).classes == dict.fromkeys(KINDS, (30, 30))


def test_the_command_line_says_the_same(pets, tmp_path, capsys):
    from holdfast.cli import main

    x, y = vectors(KINDS[:2], each=3, seed=3)
    np.savez(tmp_path / "new.npz", X=x.astype(np.float32), y=y)
    assert main(["predict", str(pets), str(tmp_path / "new.npz"), "--json", "--top", "2"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    model = holdfast.load(pets)
    for answers in (model.predict(tmp_path / "new.npz", top_k=2), model.predict(x, top_k=2)):
        assert [a.label for a in answers] == [row["class"] for row in rows]
        assert [a.probability for a in answers] == pytest.approx([r["probability"] for r in rows])
        assert [a.unknown for a in answers] == [row["unknown"] for row in rows]


def test_an_update_that_takes_too_much_is_not_published(pets):
    x, y = vectors(KINDS[:2], seed=4)
    spoiled = (x[:30], np.repeat("dog", 30))  # cats, called dogs
    refused = holdfast.learn(pets, spoiled, (x, y), max_drop=1)
    assert not refused.published and refused.version == 1 and "--max-drop 1" in refused.reasons[0]
    assert holdfast.load(pets).version == 1
    published = holdfast.learn(pets, spoiled, (x, y), max_drop=1, yes=True, resume=True)
    assert published.published and published.version == 2 and published.reasons


def test_what_makes_no_sense_is_refused_by_name(pets, tmp_path):
    x, y = vectors()
    with pytest.raises(
        ConfigError, match="unknown option of learn 'recipee': did you mean 'recipe'"
    ):
        holdfast.learn(pets, (x, y), recipee="frozen")
    with pytest.raises(ConfigError, match="must be a path, or a pair of inputs and labels"):
        holdfast.learn(pets, x)
    with pytest.raises(ConfigError, match="epochs must be at least 0"):
        holdfast.learn(pets, (x, y), epochs=-1)
    with pytest.raises(DataError, match="90 inputs and 89 labels"):
        holdfast.learn(pets, (x, y[1:]))
    with pytest.raises(DataError, match="vectors of 3 numbers"):
        holdfast.learn(pets, (x[:, :3], y))
    with pytest.raises(ConfigError, match="a share between 0 and 1"):
        holdfast.load(pets).predict(x, false_alarms=5)
    with pytest.raises(DataError, match="does not exist"):
        holdfast.learn(tmp_path / "new", tmp_path / "nowhere")
    assert not (tmp_path / "new").exists()


def test_images_in_memory_are_those_of_files(tmp_path):
    chance = np.random.default_rng(0)
    pixels = chance.integers(0, 90, (24, 20, 20, 3)).astype(np.uint8)
    pixels[12:] += 150
    labels = np.repeat(["dark", "light"], 12)
    for i, (row, label) in enumerate(zip(pixels, labels)):
        (tmp_path / "data" / label).mkdir(parents=True, exist_ok=True)
        Image.fromarray(row).save(tmp_path / "data" / label / f"{i:02d}.png")
    small = {
        "epochs": 1,
        "recipe": "finetune",
        "width": 4,
        "device": "cpu",
        "batch": 8,
        "pictures": 0,
    }
    seen = []
    holdfast.learn(
        tmp_path / "files", tmp_path / "data", progress=lambda *step: seen.append(step), **small
    )
    holdfast.learn(tmp_path / "arrays", (pixels, labels), **small)
    holdfast.learn(tmp_path / "pil", ([Image.fromarray(p) for p in pixels], labels), **small)
    assert seen == [("epochs", 1, 1)]
    files = sorted((tmp_path / "data").rglob("*.png"))
    models = [holdfast.load(tmp_path / name) for name in ("files", "arrays", "pil")]
    answers = [[a.probability for a in model.predict(files)] for model in models]
    in_memory = [a.probability for a in models[0].predict(pixels.transpose(0, 3, 1, 2))]
    assert answers[0] == answers[1] == answers[2] == in_memory


def test_what_cannot_be_read_is_an_answer_of_its_own(tmp_path):
    small = {
        "epochs": 1,
        "recipe": "finetune",
        "width": 4,
        "device": "cpu",
        "pictures": 0,
        "yes": True,
    }
    pixels = np.random.default_rng(0).integers(0, 255, (20, 8, 8)).astype(np.uint8)
    holdfast.learn(tmp_path / "m", (pixels, np.arange(20) % 2), **small)
    good, bad = tmp_path / "a.png", tmp_path / "b.png"
    Image.fromarray(pixels[0]).save(good)
    bad.write_bytes(b"nothing")
    answers = holdfast.load(tmp_path / "m").predict([bad, good])
    assert answers[0].error and not answers[0].label
    assert answers[1].label in ("0", "1") and not answers[1].error


def test_classes_are_renamed_removed_and_brought_back(tmp_path):
    x, y = vectors()
    holdfast.learn(tmp_path / "pets", (x, y), yes=True)
    model = holdfast.load(tmp_path / "pets")
    model.rename("owl", "bird")
    assert (model.version, model.classes) == (2, ["cat", "dog", "bird"])
    paper = model.remove("bird", x[y == "owl"])
    assert (model.version, model.classes, paper["exact"]) == (3, ["cat", "dog"], "model")
    model.rollback(1)
    assert (model.version, model.classes) == (1, list(KINDS))
    assert repr(model).endswith("version 1, 3 classes)")


def test_two_models_become_one(tmp_path):
    for name, kinds in (("a", KINDS[:2]), ("b", KINDS[2:])):
        holdfast.learn(tmp_path / name, vectors(kinds))
    merged = holdfast.merge(tmp_path / "a", tmp_path / "b", tmp_path / "both")
    assert merged["classes"] == 3 and merged["common_classes"] == []
    assert holdfast.load(tmp_path / "both").classes == list(KINDS)


def test_the_log_is_named_as_the_package(pets, caplog):
    with caplog.at_level(logging.INFO, "holdfast"):
        holdfast.learn(pets, vectors(KINDS[2:]))
    assert f"version 2 of {pets} is in use" in caplog.text
