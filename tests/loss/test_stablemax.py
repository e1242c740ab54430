"""StableMax: a softmax that neither overflows nor vanishes."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional
from torch.testing import assert_close

import reference_subspace as reference
from holdfast.core.errors import ConfigError
from holdfast.loss import CrossEntropy, StableMax
from holdfast.loss.stablemax import log_stablemax
from holdfast.recipes import make
from holdfast.recipes.adding import with_parts
from holdfast.testing import check_term
from holdfast.testing.bench import Bench

LOGITS = torch.tensor([[3.0, -2.0, 0.0], [0.5, 0.25, -1e-3], [100.0, 0.0, -5.0]])


def test_it_is_its_twin_and_a_distribution():
    p = log_stablemax(LOGITS).exp()
    expected = torch.tensor([reference.stablemax(row) for row in LOGITS.tolist()])
    assert_close(p, expected.double())
    assert_close(p.sum(1), torch.ones(3).double())
    assert torch.equal(p.argmax(1), LOGITS.softmax(1).argmax(1))


def test_its_slope_does_not_vanish_where_softmaxs_does():
    slopes = []
    for log_p in (log_stablemax, lambda x: functional.log_softmax(x, 1)):
        x = torch.tensor([[100.0, 0.0, -5.0]], requires_grad=True)
        (-log_p(x)[0, 0]).backward()
        slopes.append(x.grad)
    assert slopes[1].abs().max() < 1e-40
    assert bool(slopes[0].isfinite().all()) and bool((slopes[0].abs() > 1e-6).all())


def test_its_gradient_is_right_on_both_sides_of_0():
    x = torch.tensor([[0.7, -0.3, 1e-3, -1e-3]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(log_stablemax, (x,))


@pytest.mark.parametrize("classes", ["new", "seen", "all"])
def test_the_term_is_a_mean_over_the_rows_that_compete(classes):
    bench = Bench()
    step = bench.step()
    part = step["batch"]
    compete = {"new": step.classes, "seen": step.seen, "all": tuple(range(6))}[classes]
    logs = [
        torch.tensor(reference.stablemax(row)).log() for row in
        part.out.logits[:, list(compete)].double().tolist()
    ]  # fmt: skip
    values = [-log[compete.index(y)] for log, y in zip(logs, part.rows.y.tolist())]
    assert StableMax(classes)(step).item() == pytest.approx((sum(values) / len(values)).item())
    if classes != "all":  # rows of other classes have no say
        memory = StableMax(classes, "memory")(step)
        assert (memory.item() == 0) == (classes == "new")


def test_it_obeys_the_laws():
    check_term(StableMax("seen"))


def test_the_part_replaces_every_cross_entropy_and_nothing_else():
    method = make("er", forward="split", weight=0.5)
    changed = with_parts(method, "stablemax")
    kinds = [(type(t), t.on) for t in changed.terms]
    assert kinds == [(StableMax, "batch"), (StableMax, "memory")]
    assert [type(t) for t in method.terms] == [CrossEntropy, CrossEntropy]
    strict = with_parts(make("derpp", classes="seen"), "stablemax")
    assert [type(t).__name__ for t in strict.terms] == ["StableMax", "MatchLogits", "StableMax"]
    assert strict.terms[0].classes == "seen"
    step = Bench().step()
    expected = StableMax()(step) + 0.5 * StableMax(on="memory")(step)
    assert changed.loss(step).item() == pytest.approx(expected.item())
    assert replace(changed, loss=method.loss).memory == changed.memory
    with pytest.raises(ConfigError, match="in place of a method's cross-entropy, and supcon"):
        with_parts(replace(make("supcon"), name="supcon"), "stablemax")
