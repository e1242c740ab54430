from dataclasses import replace

import matplotlib
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_rgb
from PIL import Image
from sklearn.isotonic import isotonic_regression

from holdfast.metrics.accuracy import Accuracy
from holdfast.report.grid import ACCENT, EMPTY, guessing, matrix_picture, retention_picture, spread
from holdfast.train.result import Reading, Result

PICTURES = (matrix_picture, retention_picture)
ODD = ["$x_1$", r"$\bad{$", "a_b^c", "straße", "猫", "🐶", "\x1b[1m\n", "\ud800", "", "[bold]"]


def made(tasks, done=None, names=None, status="complete", recipe="fnc2"):
    """Accuracies 0.9, 0.8, 0.7 ... down each column of Class-IL, 0.95 everywhere in Task-IL."""
    done = tasks if done is None else done
    age = torch.arange(tasks)[:, None] - torch.arange(tasks)
    known = (age >= 0) & (torch.arange(tasks) < done)[:, None]
    blank = torch.full((tasks, tasks), torch.nan)
    fall = torch.where(known, (0.9 - 0.1 * age).clamp_min(0.05), blank)
    flat = torch.where(known, torch.tensor(0.95), blank)
    sizes = torch.full((tasks,), 10)
    names = names or [f"class {c}" for c in range(2 * tasks)]
    groups = [list(range(len(names)))[t::tasks] for t in range(tasks)]
    data = {"stream": "shapes", "classes": names, "tasks": groups}
    reading = {"head": Reading("strict", Accuracy(fall, sizes), Accuracy(flat, sizes))}
    return Result(recipe, "strict", "head", reading, data=data, status=status)


def pixels(draw, result, folder):
    draw(result, folder / "picture.png")
    with Image.open(folder / "picture.png") as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"))


def share(image, colour):
    """The part of a picture that has a colour."""
    wanted = (np.array(to_rgb(colour)) * 255).round()
    return (np.abs(image - wanted) <= 1).all(-1).mean()


@pytest.mark.parametrize("draw", PICTURES)
@pytest.mark.parametrize(
    "result",
    [
        made(1),
        made(2),
        made(20),
        made(60),
        made(5, done=3, status="stopped: out of memory in task 4"),
        made(3, done=0, status="running"),
        made(5, names=ODD, recipe="my_$recipe$"),
        replace(made(3), data={}),
    ],
    ids=["1", "2", "20", "60", "partial", "none", "odd", "nameless"],
)
def test_every_kind_of_run_can_be_drawn(draw, result, tmp_path):
    image = pixels(draw, result, tmp_path)
    high, wide, _ = image.shape
    assert 600 < wide < 5000 and 350 < high < 3000
    assert 0.3 < share(image, "white") < 0.99
    assert len(np.unique(image.astype(int) @ (1, 256, 65536))) > 20


def test_the_matrix_shows_each_accuracy_by_its_colour_and_nothing_above_the_diagonal(tmp_path):
    image = pixels(matrix_picture, made(5), tmp_path)
    for value, cells in ((0.9, 5 + 1), (0.8, 4 + 1), (0.7, 3 + 1), (0.6, 2)):  # + in 'all seen'
        found = share(image, ACCENT(value)) / share(image, ACCENT(0.5))  # which is in one cell
        assert found == pytest.approx(cells, abs=0.3)
    assert share(image, ACCENT(0.95)) / share(image, ACCENT(0.5)) == pytest.approx(20, abs=2)
    assert share(image, EMPTY) < 0.001


def test_what_a_stopped_run_did_not_reach_is_left_pale(tmp_path):
    image = pixels(matrix_picture, made(5, done=3), tmp_path)
    per_cell = share(image, ACCENT(0.7))
    assert share(image, ACCENT(0.5)) == 0
    assert share(image, EMPTY) / per_cell == pytest.approx(2 * (4 + 5 + 2), rel=0.15)


@pytest.mark.parametrize("draw", PICTURES)
def test_a_long_title_is_wrapped_and_grows_no_picture_wider(draw, tmp_path):
    short = pixels(draw, made(5), tmp_path)
    long = pixels(draw, made(5, recipe="a very " * 20 + "long name", status="why " * 50), tmp_path)
    assert long.shape[1] < 1.2 * short.shape[1]
    assert long.shape[0] > short.shape[0]


@pytest.mark.parametrize("draw", PICTURES)
def test_drawing_changes_no_setting_and_is_repeatable(draw, tmp_path):
    before = dict(matplotlib.rcParams)
    draw(made(3), tmp_path / "a.png")
    draw(made(3), tmp_path / "b.png")
    assert dict(matplotlib.rcParams) == before
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


@given(st.lists(st.floats(0, 100), min_size=1, max_size=20), st.floats(0.1, 4))
def test_labels_are_spread_as_little_as_possible(wanted, gap):
    wanted = sorted(wanted)
    places = np.array(spread(wanted, gap, 100))
    steps = gap * np.arange(len(wanted))
    fitted = isotonic_regression(np.array(wanted) - steps) + steps
    assert (np.diff(places) >= gap - 1e-9).all()
    assert places[0] >= 0 and places[-1] <= 100 + 1e-9
    inside = (fitted[0] >= 0) and (fitted[-1] <= 100)
    np.testing.assert_allclose(places if inside else fitted, fitted, atol=1e-9)


def test_chance_falls_with_the_classes_seen_and_is_unknown_without_names():
    assert guessing([["a", "b"], ["c", "d", "e"]]) == [50.0, 20.0]
    assert guessing([[], []]) == []
