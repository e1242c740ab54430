"""What a run will need: every step is counted, and the run that is asked about learns nothing."""

import json

import pytest
import torch

from holdfast.cli import main
from holdfast.core.settings import Training
from holdfast.recipes import make
from holdfast.testing import small_stream
from holdfast.testing.compare import difference, weights
from holdfast.train.needs import forecast
from holdfast.train.runner import Run

TRAINING = Training(epochs=2, first_epochs=3, batch=10, lr=0.01)


@pytest.mark.parametrize(
    ("recipe", "steps", "copies"),  # of the weights on disk: a past network is one
    [
        ("lwf", (15, 10, 10), 4),
        ("joint", (15, 20, 30), 3),
        ("frozen", (0, 0, 0), 3),
        ("er", (15, 10, 10), 3),
    ],
)
def test_the_steps_of_a_run_are_counted_and_have_a_price(recipe, steps, copies):
    work = Run(make(recipe), small_stream(), TRAINING)  # 3 tasks of 48 rows
    before, state = weights(work.learner), torch.random.get_rng_state()
    needs = forecast(work)
    assert needs.steps == steps
    assert (needs.first_step > 0) == (needs.later_step > 0) == (recipe != "frozen")
    least = steps[0] * needs.first_step + sum(steps[1:]) * needs.later_step
    assert needs.seconds > least
    assert needs.memory > 2**20
    size = sum(w.nbytes for w in work.learner.state_dict().values())
    assert needs.disk == copies * size
    assert needs.pixels == 0
    assert difference(before, weights(work.learner)) == ""
    assert torch.equal(state, torch.random.get_rng_state())
    assert (work.progress.task, work.progress.epochs) == (0, 0)


def test_the_run_that_was_asked_about_ends_as_one_that_was_not():
    asked, other = (Run(make("lwf_strict"), small_stream(), TRAINING) for _ in range(2))
    forecast(asked)
    for work in (asked, other):
        list(work.events())
    assert difference(weights(asked.learner), weights(other.learner)) == ""
    assert asked.result.class_il.final == other.result.class_il.final


def test_the_command_says_what_a_run_will_need_and_leaves_nothing(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["run", "lwf", "--stream", "digits", "--per-class", "20", "--epochs", "3", "--dry"]
    assert main(words) == 0
    output = capsys.readouterr().out
    assert "Nothing was learned" in output
    assert "steps" in output
    assert main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["steps"][1:] == [3] * 4
    assert not list(tmp_path.iterdir())
