"""Minor singular components: held within them, or factors that begin there."""

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from holdfast.anchor import MinorFactors, MinorHeld
from holdfast.anchor.isolated import maskable
from holdfast.anchor.soma import DECAY, minor_components
from holdfast.core.errors import ConfigError
from holdfast.testing import check_rule
from holdfast.testing.bench import Bench

NAME = "backbone.layers.3.weight"


def matrix(out=7, inputs=5, seed=0):
    return torch.randn(out, inputs, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(7, 5), (5, 7), (6, 2, 3, 3)])
@pytest.mark.parametrize("rank", [1, 3])
def test_held_moves_leave_the_major_components_alone(shape, rank):
    w = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    delta = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    inside = minor_components(w, rank).within(delta).flatten(1)
    u, s, v = torch.linalg.svd(w.flatten(1), full_matrices=False)
    major = slice(0, len(s) - rank)
    assert inside.abs().max() > 1e-3
    assert (inside @ v[major].T).norm() < 1e-5
    assert (u[:, major].T @ inside).norm() < 1e-5
    inputs = v[major].T @ torch.randn(len(s) - rank)
    torch.testing.assert_close((w.flatten(1) + inside) @ inputs, w.flatten(1) @ inputs)


def test_all_components_of_a_square_weight_hold_nothing():
    w, delta = matrix(6, 6), matrix(6, 6, 1)
    torch.testing.assert_close(minor_components(w, 99).within(delta), delta)


def stepped(rule, steps=3, task=1):
    """A bench's learner after steps of SGD under a rule, and the weights before."""
    from holdfast.anchor.rule import edited
    from holdfast.loss.classify import CrossEntropy

    bench = Bench()
    rule.begin(bench.learner, bench.stream[task])
    before = {n: w.detach().clone() for n, w in maskable(bench.learner).items()}
    optimizer = torch.optim.SGD(bench.learner.parameters(), 0.05, 0.9, weight_decay=1e-2)
    for _ in range(steps):
        optimizer.zero_grad()
        step = bench.step()
        CrossEntropy("seen")(step).backward()
        with edited([rule], bench.learner, step):
            optimizer.step()
    return bench, before


def test_in_steps_with_momentum_and_decay_the_major_components_never_move():
    bench, before = stepped(MinorHeld(rank=2))
    for name, weight in maskable(bench.learner).items():
        delta = (weight.detach() - before[name]).flatten(1)
        u, s, v = torch.linalg.svd(before[name].flatten(1), full_matrices=False)
        assert delta.norm() > 1e-4
        assert (delta @ v[: len(s) - 2].T).norm() < 3e-6  # single precision
        assert (u[:, : len(s) - 2].T @ delta).norm() < 3e-6


class LowRank(nn.Module):
    """W_res + B A, as ``torch.nn.utils.parametrize`` wants it."""

    def __init__(self, weight, rank):
        super().__init__()
        m = minor_components(weight, rank)
        self.a = nn.Parameter(m.s.sqrt()[:, None] * m.v.T)
        self.b = nn.Parameter(m.u * m.s.sqrt())
        self.register_buffer("rest", weight.detach().flatten(1) - self.b.detach() @ self.a.detach())

    def forward(self, weight):
        return (self.rest + self.b @ self.a).view(weight.shape)


def test_factors_move_as_a_parametrised_network_does_under_adamw():
    """The twin is trained by autograd through B A, and torch's own AdamW."""
    twin = Bench()
    layer = twin.learner.backbone.layers[3]
    whole = layer.weight.detach().clone()
    parametrize.register_parametrization(layer, "weight", LowRank(layer.weight, 2))
    torch.testing.assert_close(layer.weight, whole, atol=1e-5, rtol=1e-5)
    others = Bench()
    rule = MinorFactors(rank=2, rate=0.1)
    rule.begin(others.learner, others.task)
    low = layer.parametrizations.weight[0]
    adam = torch.optim.AdamW([low.a, low.b], 0.1 * 0.05, weight_decay=DECAY[0])
    for _ in range(3):
        g = torch.randn(whole.shape, generator=torch.Generator().manual_seed(_))
        adam.zero_grad()
        layer.weight.backward(g)
        adam.step()
        step = others.step()
        zero = rule.gradient({NAME: g}, step)
        assert not zero[NAME].any()
        rule.settle({NAME: others.learner.backbone.layers[3].weight.detach()}, step)
    now = others.learner.backbone.layers[3].weight
    torch.testing.assert_close(now, layer.weight, atol=1e-5, rtol=1e-5)
    moved = (now - whole).flatten(1).detach()
    u, s, _ = torch.linalg.svd(whole.flatten(1), full_matrices=False)
    assert (u[:, : len(s) - 2].T @ moved).norm() > 1e-3  # it leaves the minor subspace


def test_a_task_ends_merged_and_the_first_moves_all_unless_it_is_told():
    rule = MinorFactors(rank=2)
    bench, before = stepped(rule)
    weights = {n: w.detach().clone() for n, w in maskable(bench.learner).items()}
    rule.adjust(bench.learner, bench.task)
    assert all(torch.equal(w, weights[n]) for n, w in maskable(bench.learner).items())
    assert any(not torch.equal(weights[n], before[n]) for n in before)
    for kind in (MinorHeld, MinorFactors):
        free, _ = stepped(kind(rank=2), 2, task=0)
        plain, _ = stepped(kind(rank=2), 2, task=0)
        tuned, _ = stepped(kind(rank=2, first=True), 2, task=0)
        a, b, c = (dict(one.learner.named_parameters())[NAME] for one in (free, plain, tuned))
        assert torch.equal(a, b)
        assert not torch.equal(a, c)


@pytest.mark.parametrize("rule", [MinorHeld(2), MinorFactors(2, rate=0.1)])
def test_it_obeys_the_laws_of_a_rule(rule):
    check_rule(rule)


@pytest.mark.parametrize(
    "make", [lambda: MinorHeld(0), lambda: MinorFactors(rank=-1), lambda: MinorFactors(rate=-1.0)]
)
def test_bad_settings_are_refused(make):
    with pytest.raises(ConfigError):
        make()
