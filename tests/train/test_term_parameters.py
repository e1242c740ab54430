"""Parameters that a term owns, norms that are held, and a loss of the first task alone."""

import copy

import pytest
import torch
from torch import nn

from holdfast.core.errors import ConfigError, DivergedError
from holdfast.loss import CrossEntropy, Term
from holdfast.recipes import make
from holdfast.recipes.method import Method
from holdfast.testing import check_recipe, check_term
from holdfast.testing.norms import norm_names
from holdfast.testing.recipes import Subject
from holdfast.testing.watched import QUICK
from holdfast.train.continual import Continual
from holdfast.train.identity import described
from holdfast.train.loop import Trainer, trained_weights


class Offset(Term):
    """Features must be near a point that is trained."""

    label, reads = "offset", ("features",)

    def __init__(self, width=16):
        super().__init__()
        self.point = nn.Parameter(torch.zeros(width))

    def value(self, part, step):
        return (part.out.features - self.point.to(part.out.features)).square().mean()


class Detached(Offset):
    """A parameter that no gradient reaches."""

    def value(self, part, step):
        return (part.out.features - self.point.detach()).square().mean()


class Forgetful(Offset):
    """One whose state leaves the parameter out."""

    def _save_to_state_dict(self, destination, prefix, keep_vars):
        pass

    def _load_from_state_dict(self, *args, **kwargs):
        pass


def test_a_term_with_parameters_obeys_its_laws():
    check_term(Offset())


@pytest.mark.parametrize("term, words", [
    (Detached(), "trains none of its parameters"), (Forgetful(), "after its state in a fresh copy"),
])  # fmt: skip
def test_a_term_that_breaks_them_is_named(term, words):
    with pytest.raises(AssertionError, match=words):
        check_term(term, run=False)


def test_the_optimiser_gets_them_once_and_after_the_networks(tiny_stream):
    term = Offset()
    core = Continual(Method(CrossEntropy(), [term + 2.0 * term]), tiny_stream.shape, QUICK, 6)
    core._open(tiny_stream[0])
    weights, learner = trained_weights(core), list(core.learner.parameters())
    assert len(weights) == len(learner) + 1 and weights[-1] is core.method.terms[-1].point
    assert all(a is b for a, b in zip(weights, learner))
    (group,) = Trainer(core, tiny_stream[0]).optimizer.param_groups
    assert len(group["params"]) == len(weights)
    assert not any("point" in name for name, _ in core.learner.named_parameters())


def test_a_parameter_that_is_not_finite_stops_the_run(tiny_stream):
    class Broken(Offset):
        def value(self, part, step):
            return super().value(part, step) * 1e-30 + 1e30 * (self.point**3 + self.point).sum()

    core = Continual(Method(CrossEntropy(), [Broken()]), tiny_stream.shape, QUICK, 6)
    with pytest.raises(DivergedError, match="lower --lr"):
        core.learn(tiny_stream[0])


# norms that are held


@pytest.mark.parametrize("what", ["statistics", "all"])
def test_norms_stay_after_the_first_task_and_all_else_moves(what, tiny_stream):
    method = Method(CrossEntropy(), hold_norms=what)
    core = Continual(method, tiny_stream.shape, QUICK, 6)
    start = copy.deepcopy(core.learner.state_dict())
    core.learn(tiny_stream[0])
    first = copy.deepcopy(core.learner.state_dict())
    for task in tiny_stream.tasks[1:]:
        core.learn(task)
    last = core.learner.state_dict()
    kept = norm_names(core.learner, what == "all")
    assert len(kept) >= 9 and {"running_mean" in name for name in kept} == {True, False}
    moved = [n for n in norm_names(core.learner, True) if not torch.equal(first[n], last[n])]
    assert not set(moved) & set(kept) and bool(moved) == (what == "statistics")
    assert not any(torch.equal(start[n], first[n]) for n in kept)
    others = [n for n, w in last.items() if n.startswith("backbone") and w.ndim > 1]
    assert others and not any(torch.equal(first[n], last[n]) for n in others)
    assert all(p.requires_grad for p in core.learner.parameters())
    core.learner.train()
    assert all(module.training for module in core.learner.modules())


def test_the_law_of_held_norms_sees_one_that_moves(monkeypatch):
    from holdfast.learner import Learner

    subject = Subject(lambda: Method(CrossEntropy(), hold_norms="statistics"))
    check_recipe(subject, ["norms_stay_where_held", "resume_is_uninterrupted"])
    monkeypatch.setattr(Learner, "hold_norms", lambda self, what="none": None)
    subject = Subject(lambda: Method(CrossEntropy(), hold_norms="statistics"))
    with pytest.raises(AssertionError, match="a norm that is held moved in epoch 1 of task 2"):
        check_recipe(subject, ["norms_stay_where_held"])


def test_another_holding_is_refused_and_part_of_what_a_method_is():
    with pytest.raises(ConfigError, match="unknown holding of norms 'some'"):
        Method(CrossEntropy(), hold_norms="some")  # type: ignore[arg-type]
    plain, holding = (described(Method(CrossEntropy(), hold_norms=h)) for h in ("none", "all"))
    assert holding.items() - plain.items() == {("hold_norms", "all")}


# once


def test_a_loss_of_the_first_task_alone_moves_nothing_later(tiny_stream):
    core = Continual(make("acil", lift=64), tiny_stream.shape, QUICK, 6)
    start = copy.deepcopy(core.learner.state_dict())
    assert len(core.learn(tiny_stream[0])) == 2
    first = copy.deepcopy(core.learner.state_dict())
    assert any(not torch.equal(start[n], first[n]) for n in start if "weight" in n)
    for task in tiny_stream.tasks[1:]:
        assert core.learn(task) == []
    assert all(torch.equal(first[n], value) for n, value in core.learner.state_dict().items())
    assert not core.method.trains_head and core.method.trains(0) and not core.method.trains(1)
    right = core.scores(tiny_stream[2].test.x).argmax(1) == tiny_stream[2].test.y
    assert float(right.float().mean()) > 0.6
    plain, once = (described(Method(CrossEntropy(), once=o)) for o in (False, True))
    assert once.items() - plain.items() == {("once", True)}


def test_a_frozen_ridge_is_the_regression_on_all_rows_at_once(tiny_stream):
    """ACIL's claim: task by task it equals learning everything jointly on the network that stands still."""
    core = Continual(
        make("acil", decide="ridge:drift=none:strength=0.01"), tiny_stream.shape, QUICK, 6
    )
    for task in tiny_stream:
        core.learn(task)
    x = torch.cat([core.out(task.train.x).features for task in tiny_stream]).double()
    y = torch.cat([task.train.y for task in tiny_stream])
    away, target = x - x.mean(0), torch.nn.functional.one_hot(y).double()
    gram = away.T @ away / len(x)
    gram.diagonal().add_(0.01 * gram.diagonal().mean())
    weight = torch.linalg.solve(gram, away.T @ target / len(x))
    test = core.out(tiny_stream[1].test.x).features.double() - x.mean(0)
    scores = core.scores(tiny_stream[1].test.x)
    torch.testing.assert_close(
        scores.double(), test @ weight + target.mean(0), rtol=1e-6, atol=1e-8
    )
