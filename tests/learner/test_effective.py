"""Parametrised weights: anchors, curvatures, rules and files are about the weight that is in effect."""

import copy
from dataclasses import replace

import pytest
import torch
from torch.nn.utils import parametrize

import parametrised as zoo
from holdfast.anchor import Curvature, HeadSoftmax, Quadratic, SynapticIntelligence, Unit
from holdfast.anchor.prior import weights_in
from holdfast.anchor.rule import Rule, edited
from holdfast.core.errors import ConfigError
from holdfast.core.output import outputs
from holdfast.curvature.hessian import loss_gradient
from holdfast.curvature.layout import layout_of
from holdfast.learner import Learner
from holdfast.learner.effective import call_effective, effective_weights, parametrised
from holdfast.recipes import make
from holdfast.testing import small_stream
from holdfast.testing.bench import Bench
from holdfast.testing.compare import through_disk
from holdfast.testing.streams import CLASSES
from holdfast.testing.watched import QUICK
from holdfast.train.continual import Continual

FIRST, LAST = "backbone.network.first.weight", "backbone.network.last.weight"
SETUP = replace(QUICK, network=replace(QUICK.network, backbone="parametrised"))
assert "parametrised" in zoo.BACKBONES


@pytest.fixture
def learner():
    torch.manual_seed(0)
    return Learner((1, 8, 8), "parametrised", dim=4, classes=6).eval()


def plain(learner):
    """The same network with its weights as parameters; a deep copy would share torch's class."""
    twin = Learner((1, 8, 8), "parametrised", dim=4, classes=6).eval()
    twin.load_state_dict(learner.state_dict())
    for layer in (twin.backbone.network.first, twin.backbone.network.last):
        parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)
    return twin


def test_the_weights_in_effect_are_those_of_the_plain_network(learner):
    weights = effective_weights(learner)
    expected = dict(plain(learner).named_parameters())
    assert weights.keys() == expected.keys()
    assert all(torch.equal(w, expected[n]) for n, w in weights.items())
    assert weights["head.weight"] is learner.head.weight
    assert parametrised(learner) == [FIRST, LAST]
    assert effective_weights(plain(learner)).keys() == expected.keys()


def test_a_call_with_other_weights_changes_none(learner):
    x = torch.rand(3, 1, 8, 8)
    before = copy.deepcopy(learner.state_dict())
    other = {n: w.detach() + 0.1 for n, w in effective_weights(learner).items()}
    twin = plain(learner)
    twin.load_state_dict(dict(twin.state_dict()) | other)
    torch.testing.assert_close(call_effective(learner, other, (x,)).logits, twin(x).logits)
    assert all(torch.equal(t, before[n]) for n, t in learner.state_dict().items())
    assert not torch.equal(learner(x).logits, twin(x).logits)


def test_a_quadratic_pulls_the_weight_in_effect(learner):
    bench, term = Bench(), Quadratic(Unit(), 3.0)
    term.consolidate(learner, bench.stream[0])
    with torch.no_grad():
        learner.backbone.network.last.parametrizations.weight.original.add_(0.5)
    step = bench.step()
    step.learner = learner
    covered = weights_in(step)[LAST]
    assert float(term.value(step["batch"], step).detach()) == pytest.approx(
        1.5 * covered.numel(), rel=1e-5
    )
    term.value(step["batch"], step).backward()
    raw = learner.backbone.network.last.parametrizations.weight.original.grad
    torch.testing.assert_close(raw, torch.full_like(raw, 3.0 * 1.0 * 2))  # twice, by the chain rule


@pytest.mark.parametrize("structure", ["diagonal", "kfac", "full"])
def test_a_fisher_is_that_of_the_plain_network(learner, structure):
    task = small_stream()[0]
    task = replace(task, train=task.train[slice(None, 6)])
    curvature = Curvature("fisher", structure, HeadSoftmax("seen"))
    pair = []
    for network in (learner, plain(learner)):
        layout = curvature.layout(network, True)
        pair.append((layout, curvature.measure(network, task, layout)))
    (one, a), (other, b) = pair
    assert one.shapes == other.shapes
    assert {FIRST, LAST} <= one.shapes.keys()
    along = torch.randn(one.size, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(a.times(along), b.times(along), atol=1e-6, rtol=1e-4)


def test_the_gradient_of_a_loss_is_that_of_the_plain_network(learner):
    task = small_stream()[0]
    layout = layout_of(learner, ("backbone", "head"))
    a, b = (loss_gradient(n, task, layout, HeadSoftmax("seen")) for n in (learner, plain(learner)))
    torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


class Watching(Rule):
    """Notes what it sees."""

    def observe(self, gradient, move, step):
        self.noted = dict(gradient), dict(move)


def test_a_rule_that_looks_sees_the_weight_in_effect(learner):
    rule, bench = Watching(), Bench()
    twin = plain(learner).train()
    learner.train()
    for network in (learner, twin):
        step = bench.step()
        x, y = step["batch"].rows.x, step["batch"].rows.y
        loss = torch.nn.functional.cross_entropy(network(x).logits, y)
        loss.backward()
    expected = {n: p.grad for n, p in twin.named_parameters() if p.grad is not None}
    before = {n: w.detach().clone() for n, w in effective_weights(learner).items()}
    optimizer = torch.optim.SGD(learner.parameters(), 0.1)
    with edited([rule], learner, step):
        optimizer.step()
    gradient, move = rule.noted
    assert gradient.keys() == expected.keys()
    for name, g in gradient.items():
        torch.testing.assert_close(g, expected[name])
        torch.testing.assert_close(move[name], effective_weights(learner)[name] - before[name])
    with edited([rule], learner, step):
        optimizer.step()
    assert FIRST not in rule.noted[0]  # nothing was asked since


def test_a_rule_that_edits_weights_is_refused_beside_them():
    core = Continual(make("masks"), (1, 8, 8), SETUP, CLASSES)
    with pytest.raises(
        ConfigError, match="MaskTuning edits weights or their gradients, and backbone"
    ):
        core.learn(small_stream()[0])


@pytest.mark.parametrize("recipe", ["online_ewc", "l2", "si", "lwf_strict:gpm=0"])
def test_a_run_goes_through_a_file_in_the_middle(recipe):
    stream = small_stream()
    core, twin = (Continual(make(recipe), (1, 8, 8), SETUP, CLASSES) for _ in range(2))
    core.learn(stream[0])
    epochs = core.epochs(stream[1])
    next(epochs)
    twin.restore(through_disk(core.state(), recipe))
    for _ in epochs:
        pass
    twin.learn(stream[1])
    a, b = (outputs(each.learner, stream[1].test) for each in (core, twin))
    assert torch.equal(a.features, b.features)
    assert any("original" in name for name in core.learner.state_dict())


def test_the_path_integral_is_over_the_weight_in_effect():
    core = Continual(make("si"), (1, 8, 8), SETUP, CLASSES)
    for epoch in core.epochs(small_stream()[0]):
        (rule,) = [r for r in core.method.rules if isinstance(r, SynapticIntelligence)]
        if epoch.epoch == 0:
            assert {FIRST, LAST} <= rule.omega.keys()
            assert rule.omega[LAST].abs().sum() > 0
            assert not any("original" in name for name in rule.omega)
