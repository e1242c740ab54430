"""What the past network is: a copy tuned on the task, and only for the terms."""

from dataclasses import replace
from functools import partial

import pytest
import torch

from holdfast.anchor import TunedPast
from holdfast.core.errors import ConfigError
from holdfast.core.numerics import to_float
from holdfast.core.output import outputs
from holdfast.learner import Learner
from holdfast.loss import CrossEntropy
from holdfast.recipes import make
from holdfast.recipes.parts.across import informed
from holdfast.testing import check_recipe, small_stream
from holdfast.testing.compare import difference, weights
from holdfast.testing.watched import QUICK, Watched
from holdfast.train.identity import described
from holdfast.train.runner import Run


def loss_of(learner, task):
    with torch.no_grad():
        logits = outputs(learner, task.train).logits
    return float(torch.nn.functional.cross_entropy(logits, task.train.y))


def test_a_copy_is_tuned_and_the_network_stays():
    task = small_stream()[0]
    torch.manual_seed(0)
    learner = Learner((1, 8, 8), width=4, dim=0, classes=2)
    learner.normalise_by(task.train.x)
    before = weights(learner)
    tuned = TunedPast(epochs=3, lr=0.05, batch=8)(learner, task)
    assert not difference(before, weights(learner))
    assert loss_of(tuned, task) < 0.8 * loss_of(learner, task)
    assert not difference(before, weights(TunedPast(epochs=0)(learner, task)))
    assert to_float(task.train.x).shape[0] == len(task.train)


def test_terms_are_held_to_it_and_what_measures_is_not():
    method = replace(make("lwf"), past=TunedPast(epochs=2, lr=0.05, batch=8))
    run = Watched(method).run
    core = run.continual
    assert difference(weights(core.learner), weights(core.past))
    assert not difference(weights(core.learner), weights(core.past_eval))
    assert not any(p.requires_grad for p in core.past.parameters())


def test_as_a_part_it_obeys_the_laws_of_a_recipe():
    method = make("lwf", add="tuned_past:epochs=2:batch=16:cmi=0.2")
    laws = ["resume_is_uninterrupted", "same_seed_same_bits", "past_network_unchanged"]
    check_recipe(method, laws)
    plain, tuned = described(make("lwf")), described(method)
    assert "past" not in plain and "epochs=2" in tuned["past"] and "informed(0.2" in tuned["past"]


def test_its_answers_hold_more_of_the_rows_of_a_class():
    """Conditional mutual information, with the class means of the answers themselves."""
    task = small_stream()[0]
    torch.manual_seed(0)
    start = Learner((1, 8, 8), width=4, dim=0, classes=2)
    start.normalise_by(task.train.x)
    start = TunedPast(epochs=4, lr=0.05, batch=8)(start, task)  # a network that has learned
    values = []
    for cmi in (0.0, 2.0):
        torch.manual_seed(1)
        tuned = TunedPast(partial(informed, cmi), epochs=4, lr=0.02, batch=8)(start, task)
        p, y = outputs(tuned, task.train).logits.softmax(1), task.train.y
        means = torch.stack([p[y == c].mean(0) for c in (0, 1)])
        values.append(float((p * (p / means[y]).log()).sum(1).mean()))
    assert 0 < values[0] < values[1]


def test_any_function_may_make_the_past():
    method = replace(make("lwf"), past=lambda learner, task: Learner((1, 8, 8), width=4, classes=6))
    run = Run(method, small_stream(), QUICK)
    for event in run.events():
        if getattr(event, "epoch", None) is None:
            break
    assert not difference(weights(run.learner), weights(run.continual.past_eval))
    assert difference(weights(run.learner), weights(run.continual.past))


@pytest.mark.parametrize("wrong", [{"epochs": -1}, {"batch": 1}, {"lr": 0.0}, {"lr": float("nan")}])
def test_settings_that_tune_nothing_are_refused(wrong):
    with pytest.raises(ConfigError, match="a past network is tuned for 0 epochs or more"):
        TunedPast(CrossEntropy, **wrong)
