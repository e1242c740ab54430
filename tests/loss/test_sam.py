"""Sharpness-aware minimisation: its closed form on a quadratic, and all that must not change beside it."""

import copy

import pytest
import torch
from torch import nn

from holdfast.core.errors import ConfigError
from holdfast.core.ranks import Ranks, together
from holdfast.core.rows import Rows
from holdfast.core.settings import Training
from holdfast.core.step import Step
from holdfast.learner.prototype import Frame
from holdfast.loss import CrossEntropy, FocalCollapse, Objective
from holdfast.loss.sam import SharpnessAware
from holdfast.recipes import make
from holdfast.recipes.parts.domains import sam
from holdfast.testing import check_recipe, small_stream
from holdfast.testing.bench import Bench, gradients
from holdfast.testing.terms import prepared
from holdfast.testing.watched import QUICK
from holdfast.train.runner import Run
from holdfast.train.setup import Setup

LAWS = (
    "a_method_is_a_value",
    "same_seed_same_bits",
    "resume_is_uninterrupted",
    "figures_are_sound",
)


class Bowl(Objective):
    """1/2 w^T A w of the weights that a step moves, asked by way of the network."""

    def __init__(self, A):
        super().__init__()
        self.A = A

    def forward(self, step):
        w = step["batch"].out
        return 0.5 * w @ self.A @ w


class Point(nn.Module):
    def __init__(self, w):
        super().__init__()
        self.w = nn.Parameter(w)

    def forward(self, x):
        return self.w


def bowl(w, A):
    learner = Point(w.clone())
    zeros = torch.zeros(2, dtype=torch.long)
    rows = Rows(torch.zeros(2, 1), zeros, zeros, torch.arange(2))
    return learner, Step({"batch": rows}, learner, learner=learner)


@pytest.mark.parametrize("rho", [0.0, 0.3, 2.0])
def test_on_a_quadratic_the_gradient_is_that_of_the_point_uphill(rho):
    chance = torch.Generator().manual_seed(0)
    root = torch.randn(4, 4, generator=chance).double()
    A, w = root @ root.T, torch.randn(4, generator=chance).double()
    learner, step = bowl(w, A)
    loss = SharpnessAware(Bowl(A), rho)(step)
    loss.backward()
    value = loss.detach()
    g = A @ w
    uphill = w + rho * g / g.norm()
    assert torch.allclose(learner.w.grad, A @ uphill)
    assert float(value) == pytest.approx(float(0.5 * uphill @ A @ uphill))
    sharpness = float(value) - float(0.5 * w @ A @ w)
    assert float(step.records["sharpness"]) == pytest.approx(sharpness)
    assert torch.equal(learner.w.data, w)


def test_at_a_minimum_nothing_is_uphill():
    A = torch.eye(3).double()
    learner, step = bowl(torch.zeros(3).double(), A)
    SharpnessAware(Bowl(A), 0.5)(step).backward()
    assert torch.equal(learner.w.grad, torch.zeros(3).double())


def buffers(learner):
    return {name: value.clone() for name, value in learner.named_buffers()}


def asked(rho):
    """Loss, gradients and buffers of a step of a network with batch norm; None is without SAM."""
    bench = Bench(16)
    loss = CrossEntropy("seen")
    step = bench.step()
    value = (loss if rho is None else SharpnessAware(loss, rho))(step)
    return value.detach(), gradients(value, bench.learner), buffers(bench.learner), step


def test_with_rho_0_value_gradients_and_statistics_are_equal_to_the_bit():
    plain, sharp = asked(None), asked(0.0)
    assert torch.equal(plain[0], sharp[0])
    assert plain[1].keys() == sharp[1].keys()
    assert all(torch.equal(g, sharp[1][name]) for name, g in plain[1].items())
    assert all(torch.equal(b, sharp[2][name]) for name, b in plain[2].items())
    assert any("running" in name for name in plain[2])


def test_batch_statistics_move_with_the_first_pass_alone():
    plain, sharp = asked(None), asked(0.5)
    assert all(torch.equal(b, sharp[2][name]) for name, b in plain[2].items())
    assert not torch.equal(plain[0], sharp[0])
    assert float(sharp[3].records["cross_entropy"]) == float(plain[0])


def test_uphill_the_loss_is_larger_and_the_norm_of_the_step_is_rho():
    bench = Bench(16)
    step, seen = bench.step(), {}
    loss = SharpnessAware(CrossEntropy("seen"), 0.2)
    uphill = loss._uphill
    loss._uphill = lambda value, at: seen.update(uphill(value, at)) or seen
    loss(step)
    now = dict(bench.learner.named_parameters())
    length = torch.stack([(w - now[name]).norm() for name, w in seen.items()]).norm()
    assert float(length.detach()) == pytest.approx(0.2, rel=1e-4)
    assert float(step.records["sharpness"]) > 0


def test_a_run_with_rho_0_is_the_run_without_to_the_bit():
    ends = []
    for change in (lambda m: m, sam(0.0), sam(0.1), sam(1e-9)):
        method = change(make("fnc2_strict", prototypes="running"))
        run = Run(method, small_stream(each=6), Setup(Training(epochs=1, batch=8), QUICK.network))
        for _ in run.events():
            pass
        ends.append({n: w.clone() for n, w in run.learner.state_dict().items()})
    assert all(torch.equal(w, ends[1][name]) for name, w in ends[0].items())
    assert any(not torch.equal(w, ends[2][name]) for name, w in ends[0].items())
    near = [(w.double() - ends[3][n].double()).abs().max() for n, w in ends[0].items()]
    assert max(map(float, near)) < 1e-4  # two passes at one place round otherwise than one


def test_prototypes_that_run_move_with_the_first_pass_alone():
    from holdfast.statistics.prototype_bank import build_frame

    moved = []
    for change in (lambda term: term, lambda term: SharpnessAware(term, 0.3)):
        bench, frame = Bench(16), build_frame("running", 16, 6)
        assert isinstance(frame, Frame)
        term = prepared(FocalCollapse(frame, 0.3), bench)
        assert isinstance(term, FocalCollapse)
        term.frame.extend(6)
        change(term)(bench.step())
        moved.append(term.frame.vectors.clone())
    assert torch.equal(*moved)


def test_the_anchors_still_reach_the_network_after_it():
    """They read what the first pass said, whose graph must not be gone."""
    bench = Bench(16)
    step = bench.step()
    loss = SharpnessAware(CrossEntropy("seen"), 0.1)(step)
    anchor = step["batch"].out.features.square().mean()
    both, alone = gradients(loss + anchor, bench.learner), None
    again = bench.step()
    alone = gradients(SharpnessAware(CrossEntropy("seen"), 0.1)(again), bench.learner)
    assert any(not torch.equal(g, alone[name]) for name, g in both.items() if name in alone)


def test_of_several_processes_all_climb_the_mean_gradient(monkeypatch):
    """The mean is asked of whatever this process computed."""
    seen = []
    ranks = Ranks(0, 2)
    monkeypatch.setattr(ranks, "mean", lambda tensors: seen.extend(t.mul_(3.0) for t in tensors))
    bench = Bench(16)
    alone = SharpnessAware(CrossEntropy("seen"), 0.1)(bench.step())
    twin = Bench(16)
    with together(ranks):
        value = SharpnessAware(CrossEntropy("seen"), 0.1)(twin.step())
    assert seen and float(value.detach()) == pytest.approx(float(alone.detach()), rel=1e-4)


@pytest.mark.parametrize("recipe", ["lwf_strict", "fnc2_strict"])
def test_the_laws_of_a_method_hold_with_it(recipe):
    check_recipe(lambda: sam()(make(recipe)), LAWS)


def test_bad_input_is_one_sentence():
    with pytest.raises(ConfigError, match="at least 0, not -1"):
        SharpnessAware(CrossEntropy("seen"), -1)
    with pytest.raises(ConfigError, match="trains nothing"):
        sam()(make("frozen"))
    bench = Bench(16)
    step = copy.copy(bench.step())
    step.learner = None
    with pytest.raises(ConfigError, match="make the step with learner"):
        SharpnessAware(CrossEntropy("seen"))(step)
