"""OFA-KD: its formula, its exits, and what it asks of the past."""

import copy
import math

import pytest
import torch

from checker import unchecked
from clouds import normal
from holdfast.anchor import OneForAll, distillation, enhanced_distillation
from holdfast.core.errors import ConfigError, DataError
from holdfast.learner.heads import GrowingHead
from holdfast.loss import CrossEntropy
from holdfast.recipes import Method, make
from holdfast.testing import check_term, small_stream
from holdfast.testing.bench import Bench, gradients
from holdfast.testing.terms import prepared
from holdfast.testing.watched import learned


def softmax(row):
    top = max(row)
    total = math.fsum(math.exp(v - top) for v in row)
    return [math.exp(v - top) / total for v in row]


def twin(past, now, place, g):
    """-mean sum [(p* + 1[c = y])^g - 1[c = y]] log q, row by row and class by class."""
    total = 0.0
    for a, b, y in zip(past, now, place, strict=True):
        p, q = softmax(a), softmax(b)
        for c in range(len(p)):
            here = 1.0 if c == y else 0.0
            total -= ((p[c] + here) ** g - here) * math.log(q[c])
    return total / len(past)


@pytest.mark.parametrize("g", [0.7, 1.0, 1.5])
def test_the_formula_equals_its_twin(g):
    past, now = 2 * normal(0, 5, 4).double(), 2 * normal(1, 5, 4).double()
    place = torch.tensor([0, 3, -1, 2, -1])
    value = enhanced_distillation(past, now, place, g)
    assert float(value) == pytest.approx(twin(past.tolist(), now.tolist(), place.tolist(), g))
    assert torch.autograd.gradcheck(
        lambda z: enhanced_distillation(past, z, place, g), now.requires_grad_()
    )


def test_g_of_1_is_the_cross_entropy_with_the_past_answers_whoever_is_right():
    past, now = normal(0, 5, 4).double(), normal(1, 5, 4).double()
    entropy = -(past.softmax(1) * past.log_softmax(1)).sum(1).mean()
    expected = distillation(past, now, T=1.0) + entropy
    for place in ([-1] * 5, [0, 1, 2, 3, 0]):
        torch.testing.assert_close(enhanced_distillation(past, now, torch.tensor(place)), expected)


def test_without_a_true_class_another_g_moves_the_answers_away_from_the_past():
    past, nobody = normal(0, 5, 4).double(), torch.full((5,), -1)
    for g, still in ((1.0, True), (1.5, False)):
        now = past.clone().requires_grad_()
        enhanced_distillation(past, now, nobody, g).backward()
        assert (float(now.grad.abs().max()) < 1e-12) == still
        at = past.clone().requires_grad_()  # where q is proportional to (p*)^g
        enhanced_distillation(past, g * at, nobody, g).backward()
        assert float(at.grad.abs().max()) < 1e-12


def test_no_gradient_flows_into_the_past_and_no_row_is_0():
    past, now = normal(0, 5, 4).requires_grad_(), normal(1, 5, 4).requires_grad_()
    enhanced_distillation(past, now, torch.zeros(5, dtype=torch.long)).backward()
    assert past.grad is None and float(now.grad.abs().sum()) > 0
    none = enhanced_distillation(past[:0], now[:0], torch.zeros(0, dtype=torch.long))
    assert float(none.detach()) == 0
    with pytest.raises(DataError, match=r"shapes \(5, 4\) and \(5, 3\)"):
        unchecked(enhanced_distillation)(past, now[:, :3], torch.zeros(5, dtype=torch.long))


@pytest.mark.parametrize("support", ["old", "all_padded"])
def test_the_term_is_the_sum_over_head_and_exits(support):
    bench = Bench(16)
    term = prepared(OneForAll(support=support), bench)
    step = bench.step()
    part, classes = step["batch"], list(step.known if support == "old" else step.seen)
    past = torch.full((len(part), 6), -1e9)  # a class that the past gives nothing
    past[:, list(step.known)] = part.past.logits[:, list(step.known)]
    spoken = [part.out.logits] + [e(s) for e, s in zip(term.exits, part.out.stages, strict=True)]
    there = part.rows.y.tolist()
    place = [classes.index(y) if y in classes else -1 for y in there]
    rows = lambda z: z.detach()[:, classes].double().tolist()
    expected = sum(twin(rows(past), rows(z), place, 1.0) for z in spoken)
    assert float(term(step).detach()) == pytest.approx(expected, rel=1e-5)
    slopes = gradients(term(bench.step()), bench.learner)
    reached = {name for name, slope in slopes.items() if float(slope.abs().max()) > 0}
    assert "backbone.layers.0.weight" in reached and "head.weight" in reached


def test_exits_grow_with_the_classes_and_old_rows_keep_their_bits():
    bench = Bench(16)
    term = OneForAll()
    learner = copy.deepcopy(bench.learner)
    learner.head = GrowingHead(learner.backbone.features, 2)
    term.begin(learner, bench.stream[0])
    assert len(term.exits) == 0  # nothing is asked in the first task
    term.begin(learner, bench.task)
    before = copy.deepcopy(dict(term.state_dict()))
    assert [head.weight.shape for head in term.exits] == [(2, 4), (2, 8), (2, 16)]
    learner.head.grow(5)
    term.begin(learner, bench.stream[2])
    assert [len(head.bias) for head in term.exits] == [5, 5, 5]
    for name, rows in term.state_dict().items():
        if name in before and name.startswith("exits"):
            assert torch.equal(rows[:2], before[name])
    assert len(Method(CrossEntropy(), [term]).trainable) == 6


def test_g_above_1_asks_rows_that_the_past_knows():
    bench = Bench(16)
    term = prepared(OneForAll(g=1.5, exits=False), bench)
    with pytest.raises(
        ConfigError, match=r"g=1\.5 sharpens towards classes that the past network knows"
    ):
        term(bench.step())
    old = prepared(OneForAll(g=1.5, exits=False, on="memory"), bench)
    value, plain = (
        term(bench.step()) for term in (old, prepared(OneForAll(exits=False, on="memory"), bench))
    )
    assert bool(value.isfinite()) and float(value.detach()) != float(plain.detach())
    for g in (0.0, -1.0, math.inf):
        with pytest.raises(ConfigError, match="g must be a positive number"):
            OneForAll(g=g)


@pytest.mark.parametrize("term", [OneForAll(), OneForAll(support="all_padded", exits=False)])
def test_the_term_obeys_the_laws(term):
    check_term(term, run=bool(term.shows))


def test_as_a_part_it_is_added_to_a_recipe():
    method = make("finetune", add="ofa:weight=0.5")
    run = learned(method, small_stream())
    term = run.continual.method.terms[-1]
    assert run.result.status == "complete" and len(term.exits[0].bias) == 6
