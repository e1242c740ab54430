"""The head's rehearsal on draws from stored Gaussians."""

import copy
from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

import reference
from holdfast.anchor import FeatureDistillation
from holdfast.chance import generator_of
from holdfast.engine import Work
from holdfast.errors import ConfigError
from holdfast.loss import CrossEntropy
from holdfast.memory.meter import measure
from holdfast.method import Method
from holdfast.readout import PseudoRehearsal, SharedGaussian
from holdfast.recipes import make
from holdfast.settings import Machine, Model, Training
from holdfast.step import Step
from holdfast.stream.augment import to_float

SHORT = Training(epochs=2, batch=16, lr=0.05)
SMALL = {"model": Model(width=2), "machine": Machine("cpu")}


@pytest.fixture(scope="module")
def held(tiny_stream):
    method = Method(CrossEntropy("new"), [PseudoRehearsal(each=20), FeatureDistillation()])
    work = Work(method, tiny_stream, SHORT, readout="gaussian", **SMALL)
    return work, list(work.learn())


def step_of(work, task):
    rows = replace(task.train[:8], x=to_float(task.train.x[:8]))
    past = copy.deepcopy(work.learner)
    return Step(
        {"batch": rows}, work.learner, past, 3, (4, 5), tuple(range(6)), learner=work.learner
    )


def test_its_statistics_are_those_of_the_readout(held):
    """Both follow the same drift from the same past network."""
    work, _ = held
    term = next(t for t in work.method.terms if isinstance(t, PseudoRehearsal))
    assert_close(term.source.known.state(), work.readouts["gaussian"].known.state())
    assert term.pool is None and term.ask is None


def test_it_is_a_cross_entropy_over_all_classes_that_moves_the_head_alone(held, tiny_stream):
    work, _ = held
    term = copy.deepcopy(next(t for t in work.method.terms if isinstance(t, PseudoRehearsal)))
    learner = work.learner.eval()
    learner.zero_grad()
    value = term(step_of(work, tiny_stream[2]))
    value.backward()
    x, y = term.pool
    assert len(x) == 6 * 20 and y.tolist() == [k for k in range(6) for _ in range(20)]
    chance = generator_of(torch.device("cpu"), 0, "rehearsal", 3, 0, 0)
    rows = torch.randint(120, (8,), generator=chance)
    logits = learner.head(x[rows].float()).tolist()
    expected = reference.cross_entropy(logits, y[rows].tolist(), range(6))
    assert value.item() == pytest.approx(expected, rel=1e-4)
    moved = {n for n, p in learner.named_parameters() if p.grad is not None and p.grad.abs().sum()}
    assert moved == {"head.weight", "head.bias"}
    assert not torch.equal(term(step_of(work, tiny_stream[2])), value)  # other rows of the pool
    learner.zero_grad()


def test_no_image_is_kept_and_the_statistics_are_counted(held):
    work, events = held
    holdings = events[-1].result.holdings
    assert holdings.images == 0
    f, K = work.learner.backbone.features, 6
    assert measure({"r": work.method.terms[1]}, None).floats == K + K * f + f * f + 101


def test_rehearsed_heads_keep_old_classes(digits_stream):
    final = {}
    for weight in (0.0, 10.0):
        method = make("lwf_strict", rehearse=weight, decide="head")
        wider = SMALL | {"model": Model(width=8)}
        work = Work(method, digits_stream, Training(epochs=8, batch=32, lr=0.02), **wider)
        list(work.learn())
        final[weight] = float(work.result.class_il.matrix[4, :4].mean())
    assert final[10.0] > final[0.0] + 0.1


def test_less_than_one_draw_is_refused():
    with pytest.raises(ConfigError, match="at least 1 draw of a class, not 0"):
        PseudoRehearsal(each=0)
    assert isinstance(PseudoRehearsal().source, SharedGaussian)
