"""The past network is asked before the learner, whose graph then is not beside it; nothing else changes."""

import pytest
import torch

from holdfast.anchor import FeatureDistillation
from holdfast.core.output import Output
from holdfast.core.rows import Rows
from holdfast.core.step import Step
from holdfast.loss import CrossEntropy
from holdfast.loss.schedule import Linear
from holdfast.loss.term import Objective, Scaled, Sum, Term
from holdfast.recipes import make
from holdfast.testing import small_stream
from holdfast.testing.watched import QUICK
from holdfast.train.continual import Continual


def learned(recipe):
    """Weights and losses after two tasks."""
    stream = small_stream(each=10)
    core = Continual(make(recipe), stream.shape, QUICK.updated(batch=8, epochs=2), 6)
    losses = [epoch.records for task in stream.tasks[:2] for epoch in core.learn(task)]
    return {name: t.clone() for name, t in core.learner.state_dict().items()}, losses


@pytest.mark.parametrize("recipe", ["fnc2", "fnc2_strict", "lwf", "co2l"])
def test_bits_are_those_of_the_other_order(recipe, monkeypatch):
    weights, losses = learned(recipe)
    for kind in (Term, Sum, Scaled):
        monkeypatch.setattr(kind, "foresee", Objective.foresee)
    before, earlier = learned(recipe)
    assert losses == earlier
    assert all(weights[name].equal(tensor) for name, tensor in before.items())


def asked(objective, epoch=0, past=True):
    """Which network was asked, in which order."""
    calls = []

    def network(name):
        def say(x):
            calls.append(name)
            return Output(x, x, x, None)

        return say

    y = torch.tensor([0, 1, 0, 1])
    rows = Rows(torch.randn(4, 2), y, torch.ones_like(y), torch.arange(4))
    step = Step(
        {"batch": rows}, network("learner"), network("past") if past else None,
        task=1, classes=(0, 1), seen=(0, 1), epoch=epoch, epochs=2,
    )  # fmt: skip
    objective.foresee(step)
    objective(step)
    return calls


def test_the_past_is_asked_first_once_and_only_where_it_will_be_asked():
    new, kept = CrossEntropy(), FeatureDistillation()
    assert asked(new) == ["learner"]
    assert asked(new + 2.0 * kept) == ["past", "learner"]
    assert asked(kept + new, past=False) == ["learner"]
    fading = new + Linear(1.0, 0.0) * kept
    assert asked(fading) == ["past", "learner"] and asked(fading, epoch=1) == ["learner"]
    elsewhere = FeatureDistillation()
    elsewhere.on = "memory"  # of which this step has no rows
    assert asked(new + elsewhere) == ["learner"]
    elsewhere.on = "old"  # rows of the batch: none came with an earlier task
    assert asked(new + elsewhere) == ["learner"]
