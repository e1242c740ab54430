"""A task of hardly any distinct input moves no weight, in any recipe; its classes come in all the same."""

from dataclasses import replace

import pytest
import torch

import reference
from conftest import textures
from holdfast.core.settings import Training
from holdfast.recipes import make
from holdfast.recipes.catalogue import RECIPES
from holdfast.train.continual import Continual
from holdfast.train.few import LEAST, distinct, imprint

TRAINED = [name for name in RECIPES if name not in ("joint", "frozen", "acil")]


def learner(recipe="fnc2_strict", **setup):
    """A learner of two classes of textures, and the rows of the others."""
    x, y = textures(20, 0)
    old = y < 2
    model = Continual(make(recipe), (1, 8, 8), Training(epochs=2, batch=16, lr=0.02))
    model.learn(model.arrive(x[old], y[old].tolist()))
    return model, x, y


def weights(model):
    """What training moves, the head's new rows apart."""
    state = model.learner.state_dict()
    old = {k: v[:2] if k.startswith("head.") and v.ndim else v for k, v in state.items()}
    return {k: v.clone() for k, v in old.items()}


@pytest.mark.parametrize("recipe", TRAINED)
def test_one_image_moves_no_weight_of_an_old_class(recipe):
    model, x, y = learner(recipe)
    before, scores = weights(model), model.scores(x[y < 2])
    model.learn(model.arrive(x[y == 1][:1], [1]))
    for name, value in weights(model).items():
        assert torch.equal(value, before[name]), name
    if model.learner.head.bias.numel() == 0 or model.readout == "head":
        assert torch.equal(model.scores(x[y < 2]).argmax(1), scores.argmax(1))
    note = model.progress.notes[-1]
    assert (note.few, note.epochs) == (1, 0) and model.progress.task == 2


@pytest.mark.parametrize("recipe", ["finetune", "lwf"])
def test_a_new_class_of_one_image_is_known_afterwards(recipe):
    model, x, y = learner(recipe)
    model.learn(model.arrive(x[y == 3][:1], [3]))
    assert model.labels == [0, 1, 3] and model.scores(x[:5]).shape == (5, 3)
    scores = model.scores(x[y == 3][:1])
    assert float(scores[0, 2]) == pytest.approx(float(scores[0, :2].max()), abs=1e-4)


def test_sixteen_inputs_are_trained_on():
    model, x, y = learner()
    for count, few in ((LEAST - 1, LEAST - 1), (LEAST, 0)):
        task = model.arrive(x[y == 2][:count], [2] * count)
        assert task.few == few
    before = weights(model)
    model.learn(task)
    assert any(not torch.equal(v, before[k]) for k, v in weights(model).items())
    assert model.progress.notes[-1].few == 0 and model.progress.notes[-1].epochs == 2


def test_copies_are_one_input_and_a_stream_decides_for_itself():
    model, x, y = learner()
    frames = x[y == 2][:1].expand(400, -1, -1, -1).clone()
    frames[::7] = (frames[::7].int() + 2).clamp(0, 255).byte()
    task = model.arrive(frames, [2] * 400)
    assert task.few == 1
    before = weights(model)
    model.learn(replace(task, few=0))
    assert any(not torch.equal(v, before[k]) for k, v in weights(model).items())


def test_a_first_task_is_trained_on_whatever_it_has():
    x, y = textures(2, 0)
    model = Continual(make("fnc2_strict"), (1, 8, 8), Training(epochs=1))
    assert model.arrive(x[y < 2], y[y < 2].tolist()).few == 0


def test_a_state_from_before_there_were_such_tasks_is_read():
    model, _, _ = learner()
    state = model.state()
    for note in state["notes"]:
        del note["few"]
    model.restore(state)
    assert model.progress.notes[-1].few == 0


def test_it_says_so(caplog):
    model, x, y = learner()
    with caplog.at_level("WARNING", "holdfast"):
        model.learn(model.arrive(x[y == 2][:3], [2] * 3))
    assert "3 distinct inputs, fewer than 16: the network stays as it is" in caplog.text


@pytest.mark.parametrize("shape", [(9, 3), (9, 2, 4, 4)])
def test_distinct_inputs_are_counted_as_the_slow_twin_does(shape):
    g = torch.Generator().manual_seed(len(shape))
    x = torch.rand(shape, generator=g, dtype=torch.float64)
    x[3], x[7] = x[0] + 1e-3, x[2] - 0.04
    scale = torch.rand(shape[1], generator=g, dtype=torch.float64) + 0.5
    for most in (4, 9):
        assert distinct(x, scale, most) == min(most, reference.distinct(x, scale))
    assert distinct(x[:1].expand(5, *shape[1:]), scale) == 1


@pytest.mark.parametrize("n", [1, 2, 7])
def test_a_row_is_imprinted_as_the_slow_twin_says(n):
    g = torch.Generator().manual_seed(n)
    x, weight = (torch.randn(k, 5, generator=g, dtype=torch.float64) for k in (n, 3))
    bias = torch.randn(3, generator=g, dtype=torch.float64)
    row, b = imprint(x, weight, bias)
    expected, level = reference.imprint(x, weight, bias)
    torch.testing.assert_close(row, expected)
    assert float(b) == pytest.approx(level)
