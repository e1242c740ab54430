"""An update stops and goes on, and is refused where it would be another one."""

from dataclasses import replace

import pytest
import torch

from holdfast.core.errors import ConfigError, StoreError
from holdfast.core.settings import Training
from holdfast.memory import Protocol
from holdfast.store import serialize
from holdfast.store.model import ModelFolder
from holdfast.store.update import Update

from .conftest import BLUEPRINT, answers, images, learn


def trained(training):
    """The blueprint with another training."""
    return replace(BLUEPRINT, setup=replace(BLUEPRINT.setup, training=training))


@pytest.mark.parametrize("stop", [1, 2])
@pytest.mark.parametrize("start", ["new", "extended"])
def test_a_resumed_update_has_the_bits_of_an_uninterrupted_one(stop, start, model, tmp_path):
    path, classes = (model, (1, 4)) if start == "extended" else (tmp_path / "new", (0, 1))
    old = answers(path) if start == "extended" else None
    assert learn(path, *classes, stop=stop) is None
    if old is not None:
        assert torch.equal(answers(path), old)  # the old version stays in use
    made = learn(path, *classes, resume=True)
    straight = tmp_path / "straight"
    for task in ((0, 1), (2, 3), (1, 4)) if start == "extended" else ((0, 1),):
        learn(straight, *task)
    assert torch.equal(answers(path), answers(straight))
    resumed, whole = (
        serialize.read(p / "versions" / f"{made.version:04d}" / "state.safetensors")
        for p in (path, straight)
    )
    for part in ("learner", "past", "parts"):
        assert repr(resumed[part]) == repr(whole[part])
    assert not (path / "update.safetensors").exists()


@pytest.mark.parametrize("recipe", ["er", "derpp", "lwf_wa", "si", "kfac_laplace", "co2l"])
def test_every_kind_of_state_goes_through_the_disk(recipe, tmp_path):
    """Extended twice, one update stopped: memories, logits, priors, past networks."""
    kind = replace(BLUEPRINT, recipe=recipe, parameters={})
    if recipe in ("er", "derpp"):
        kind = replace(kind, setup=replace(kind.setup, protocol=Protocol("buffer", 5)))
    core = kind.build("cpu")
    for classes in ((0, 1), (2, 3), (1, 4)):
        core.learn(core.arrive(*images(*classes)))
        if classes == (2, 3):
            learn(tmp_path / "m", *classes, blueprint=kind, stop=1)
        made = learn(tmp_path / "m", *classes, blueprint=kind, resume=True)
    found, _ = ModelFolder(tmp_path / "m").load(device="cpu")
    x = images(*range(6), seed=1)[0]
    assert torch.equal(found.scores(x), core.scores(x))
    assert made.stored["images"] == (5 if recipe in ("er", "derpp") else 0)


def test_a_stopped_update_is_not_forgotten(model):
    learn(model, 4, stop=1)
    with pytest.raises(ConfigError, match="was stopped before its end: add --resume"):
        learn(model, 5)


@pytest.mark.parametrize(
    "change, words",
    [
        ({"seed": 3}, "images"),
        (
            {"blueprint": trained(Training(epochs=3, batch=16, lr=0.02))},
            "epochs",
        ),
    ],
)
def test_resuming_something_else_is_refused_by_name(change, words, model):
    learn(model, 4, stop=1)
    with pytest.raises(ConfigError, match=f"was begun with .*{words}"):
        learn(model, 4, resume=True, **change)


def test_an_update_that_was_published_is_not_learned_twice(model):
    """A kill may come between publishing and the removal of the checkpoint."""
    learn(model, 4, stop=2)
    kept = (model / "update.safetensors").read_bytes()
    learn(model, 4, resume=True)
    (model / "update.safetensors").write_bytes(kept)
    folder = ModelFolder(model)
    with folder.lock():
        update = Update(folder, *images(4), BLUEPRINT, "cpu", resume=True)
    assert update.published and not (model / "update.safetensors").exists()
    assert learn(model, 5).version == 4


def test_a_damaged_checkpoint_is_refused(model):
    learn(model, 4, stop=1)
    path = model / "update.safetensors"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(StoreError, match=r"update\.safetensors is damaged"):
        learn(model, 4, resume=True)
    assert ModelFolder(model).load(device="cpu")[1].version == 2


def test_training_may_change_from_update_to_update(model):
    longer = trained(Training(epochs=4, batch=8, lr=0.01))
    made = learn(model, 4, blueprint=longer)
    assert made.blueprint["training"]["epochs"] == 4
    assert ModelFolder(model).manifest(1).blueprint["training"]["epochs"] == 2


def test_an_estimate_changes_nothing(model):
    folder = ModelFolder(model)
    with folder.lock():
        plain = Update(folder, *images(4), BLUEPRINT, "cpu")
        asked = Update(folder, *images(4), BLUEPRINT, "cpu")
    seconds, memory = asked.estimate()
    assert 0 < seconds < 60 and memory > 2**20
    for update in (plain, asked):
        list(update.learn())
    x = images(0, 4, seed=1)[0]
    assert torch.equal(plain.core.scores(x), asked.core.scores(x))
