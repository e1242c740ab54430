"""A rule that asks gets the gradients of the task's loss and of the anchors apart."""

from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from holdfast.anchor import LogitDistillation, ProjectedDistillation, Rule
from holdfast.core.errors import ConfigError
from holdfast.loss import CrossEntropy
from holdfast.recipes import make
from holdfast.recipes.method import Method
from holdfast.testing import check_rule, check_split, small_stream
from holdfast.testing.devices import OnDevices, differences_on_devices
from holdfast.testing.watched import QUICK, learned


class Weighs(Rule):
    """Weighs the two."""

    needs_split = True

    def __init__(self, task=1.0, anchors=1.0):
        super().__init__()
        self.weights = (task, anchors)

    def split(self, task, anchors, step):
        a, b = self.weights
        return {n: a * g for n, g in task.items()}, {n: b * g for n, g in anchors.items()}


class Splits(Weighs):
    """Notes what it is given."""

    def __init__(self, task=1.0, anchors=1.0):
        super().__init__(task, anchors)
        self.seen = []

    def split(self, task, anchors, step):
        self.seen.append((step.task, task, anchors))
        return super().split(task, anchors, step)


class Sees(Rule):
    """Notes the loss's own gradient, and what the optimiser is given."""

    def __init__(self):
        super().__init__()
        self.raw, self.edited = [], []

    def gradient(self, gradient, step):
        self.edited.append(dict(gradient))
        return gradient

    def observe(self, gradient, move, step):
        self.raw.append(gradient)


def ran(*anchors, loss=None, **changes):
    method = Method(loss or CrossEntropy("seen"), list(anchors))
    return learned(method, small_stream(each=6), QUICK.updated(epochs=1, **changes))


def rules_of(run):
    return run.continual.method.rules


@pytest.mark.parametrize(
    "text", ["lwf_strict:rehearse=1", "derpp", "ewc", "gatf", "si", "finetune", "fnc2_strict"]
)
def test_asking_changes_nothing_of_a_run(text):
    """Terms that own weights (gatf), rules beside it (si), no anchors (finetune: bit for bit)."""
    check_split(make(text))


def test_a_rule_that_asks_obeys_the_laws_of_rules():
    check_rule(Weighs(0.5, 2.0))


class InPlace(Splits):
    def split(self, task, anchors, step):
        for g in task.values():
            g.mul_(0.5)
        return task, anchors


class Forgets(Splits):
    def split(self, task, anchors, step):
        return dict(list(task.items())[1:]), anchors


@pytest.mark.parametrize("rule, words", [(InPlace(), "in place"), (Forgets(), "every parameter")])
def test_the_law_sees_a_rule_that_breaks_it(rule, words):
    with pytest.raises(AssertionError, match=words):
        check_rule(rule, run=False)


def test_the_law_sees_gradients_that_do_not_add_up(monkeypatch):
    from holdfast.train import loop

    plain = loop.backward_apart

    def twice(*arguments):
        task, anchors = plain(*arguments)
        return task, {n: 2 * g for n, g in anchors.items()}

    monkeypatch.setattr(loop, "backward_apart", twice)
    with pytest.raises(AssertionError, match="apart"):
        check_split(make("lwf"))


def test_each_is_the_gradient_of_its_own_loss():
    """Of a run of one step a task, against runs of the one loss alone from the same weights."""
    weight = 3.0
    settings = {"batch": 1000, "lr": 1e-3}
    run = ran(weight * LogitDistillation(), Splits(), Sees(), **settings)
    first, second = (
        next(s for s in rules_of(run)[0].seen if s[0] == task) for task in (0, 1)
    )  # of the tasks
    assert all(float(g.abs().max()) == 0 for g in first[2].values())
    assert max(float(g.abs().max()) for g in second[2].values()) > 1e-4
    assert "head.weight" in second[1] and not any(n.startswith("projector") for n in second[1])
    raw = rules_of(run)[1].raw[-1]
    third = rules_of(run)[0].seen[-1]
    assert_close({n: third[1][n] + third[2][n] for n in raw}, raw)
    alone = ran(Splits(1.0, 0.0), **settings)  # no anchor: the first task is the same
    assert_close(rules_of(alone)[0].seen[0][1], first[1])


def test_what_it_returns_is_what_the_optimiser_gets_and_not_what_observers_see():
    run = ran(LogitDistillation(), Weighs(0.0, 0.0), Sees())
    sees = rules_of(run)[1]
    assert all(float(g.abs().max()) == 0 for step in sees.edited for g in step.values())
    assert all(max(float(g.abs().max()) for g in step.values()) > 0 for step in sees.raw)


def test_rules_that_ask_come_one_after_the_other():
    run = ran(LogitDistillation(), Splits(2.0, 0.5), Splits(3.0, 1.0), Sees())
    one, two, sees = rules_of(run)
    for (_, task, anchors), (_, edited, halved), last in zip(one.seen, two.seen, sees.edited):
        assert_close(edited, {n: 2 * g for n, g in task.items()})
        assert_close(halved, {n: 0.5 * g for n, g in anchors.items()})
        assert_close(last, {n: 3 * g + halved[n] for n, g in edited.items()})


def test_weights_of_terms_learn_from_both_and_no_rule_sees_them():
    """They move though the rule makes nothing of both gradients."""
    maps = []

    class Map(ProjectedDistillation):
        def consolidate(self, learner, task, past=None):
            maps.append([p.detach().clone() for p in self.back.parameters()])
            super().consolidate(learner, task, past)

    run = ran(Map("linear"), Splits(0.0, 0.0), weight_decay=0.0)
    names = {name for name, _ in run.learner.named_parameters()}
    assert {n for _, task, _ in rules_of(run)[0].seen for n in task} <= names
    weight = maps[1][0]
    assert float((weight - torch.eye(len(weight))).abs().max()) > 1e-4


def test_one_backward_pass_where_nobody_asks(monkeypatch):
    passes = []
    plain = torch.Tensor.backward
    monkeypatch.setattr(
        torch.Tensor, "backward", lambda loss, **o: (passes.append(o), plain(loss, **o))
    )
    counts = []
    for rules in ([], [Rule()], [Splits()]):
        passes.clear()
        ran(LogitDistillation(), *rules, batch=1000)
        counts.append(len(passes))
    assert counts == [3, 3, 5]  # a step a task; the first has no anchor


def test_two_processes_get_the_gradients_of_one():
    once = QUICK.updated(epochs=1)
    method = replace(make("lwf"), name="lwf apart")
    method = replace(method, anchors=[*method.anchors, Weighs(1.0, 0.3)])
    parts = OnDevices("lwf:add=(gate:l=0.5)+(orthogonal:keep=neither)", setup=once)
    assert differences_on_devices([OnDevices(method, setup=once), parts]) == {}


def test_mixed_precision_has_them_too():
    run = ran(LogitDistillation(), Splits(), precision="bf16-mixed")
    assert any(float(g.abs().max()) > 0 for g in rules_of(run)[0].seen[-1][2].values())


def test_a_run_whose_loss_reaches_nothing_says_so():
    with pytest.raises(ConfigError, match="reached no weight"):
        ran(LogitDistillation(), Splits(), loss=0.0 * CrossEntropy("seen"))
