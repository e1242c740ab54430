"""Function anchors on a step made by hand: values, stationarity, supports, sources, state."""

import math

import pytest
import torch
from torch.testing import assert_close

import reference
import reference_regularise as regularise
from checker import unchecked
from holdfast.anchor import (
    DIVERGENCES,
    IndirectAlignment,
    LogitDistillation,
    MatchLogits,
    WeightAligning,
    distillation,
    f_divergence,
)
from holdfast.core.errors import ConfigError
from holdfast.core.rows import Rows
from holdfast.core.settings import Machine, Network, Training
from holdfast.core.step import Step
from holdfast.learner import Learner, Output
from holdfast.loss import CrossEntropy
from holdfast.memory import Protocol
from holdfast.recipes import make
from holdfast.recipes.method import Method
from holdfast.stream.task import Task
from holdfast.train.runner import Run
from holdfast.train.setup import Setup

CONSTANT = dict.fromkeys(DIVERGENCES, 1.0)
CONSTANT |= {"jensen_shannon": 0.25, "hellinger": 0.5, "jeffreys": 2.0}


def output(seed, n=6, f=3, k=5, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    x, z, logits = (torch.randn(n, w, generator=generator, dtype=dtype) for w in (f, 2, k))
    return Output(x, z, logits)


def rows_of(y, task=1, **extra):
    y = torch.tensor(y)
    return Rows(torch.zeros(len(y), 1), y, torch.full_like(y, task), torch.arange(len(y)), extra)


def step_of(now, past, parts=None, **options):
    """Task 1 with classes 3 and 4, after 0, 1 and 2; every part gets the same output."""
    parts = parts or {"batch": rows_of([3, 4, 3, 4, 4, 3])}
    options = {"task": 1, "classes": (3, 4), "seen": (0, 1, 2, 3, 4)} | options
    return Step(parts, lambda x: now, None if past is None else lambda x: past, **options)


def still(out):
    """The same output as a leaf, of which a term can be differentiated."""
    return Output(*(column.clone().requires_grad_() for column in out[:3]))


# the pure function


@pytest.mark.parametrize("T", [0.5, 1.0, 2.0, 8.0])
@pytest.mark.parametrize("name", DIVERGENCES)
def test_distillation_equals_its_twin(name, T):
    past, now = output(0).logits, output(1).logits
    twin = reference.distillation(past.tolist(), now.tolist(), T, name, CONSTANT[name])
    found = distillation(past, now, T, DIVERGENCES[name])
    assert float(found) == pytest.approx(twin, abs=1e-10)
    plain = distillation(past, now, T, DIVERGENCES[name], normalise=False)
    assert float(plain) == pytest.approx(twin * CONSTANT[name], abs=1e-10)


@pytest.mark.parametrize("T", [0.5, 3.0])
def test_the_factor_leaves_the_strength_free_of_the_temperature(T):
    """For a move d: 1/2 d^T F_T d, F_T the Fisher matrix of the softened row; no other T in it."""
    z, d = output(0).logits, output(1).logits
    p = (z / T).softmax(1)
    form = ((p * d**2).sum(1) - (p * d).sum(1) ** 2).mean()
    for name in DIVERGENCES:
        ratio = distillation(z, z + 1e-4 * d, T, DIVERGENCES[name]) / (1e-8 * form)
        assert float(ratio) == pytest.approx(0.5, rel=1e-3), name


@pytest.mark.parametrize("T", [0, -1.0, math.nan, math.inf])
@pytest.mark.parametrize("what", [LogitDistillation, IndirectAlignment])
def test_an_impossible_temperature_is_refused(what, T):
    with pytest.raises(ConfigError, match=r"^a temperature must be positive, not T="):
        what(T=T)


# LogitDistillation


@pytest.mark.parametrize("name", DIVERGENCES)
def test_the_old_support_is_the_classes_before(name):
    now, past = output(0), output(1, k=3)
    twin = reference.distillation(
        past.logits.tolist(), now.logits[:, :3].tolist(), 2.0, name, CONSTANT[name]
    )
    found = LogitDistillation(name)(step_of(now, past))
    assert float(found) == pytest.approx(twin, abs=1e-5)  # float32


def test_a_past_with_a_wider_head_is_asked_for_what_it_knew():
    now, past = output(0), output(1)
    known = Output(past.features, past.embedding, past.logits[:, :3])
    term = LogitDistillation()
    assert_close(term(step_of(now, past)), term(step_of(now, known)))


def test_classes_that_come_again_are_old_as_well():
    now, past = output(0), output(1)
    at = step_of(now, past, classes=(0, 1, 2, 3, 4), known=(0, 1, 2, 3, 4))
    assert_close(LogitDistillation()(at), distillation(past.logits, now.logits))


@pytest.mark.parametrize("name", DIVERGENCES)
@pytest.mark.parametrize("T", [1.0, 4.0])
def test_the_old_support_is_stationary_at_the_past(name, T):
    past = output(0)
    now = still(past)
    value = LogitDistillation(name, T)(step_of(now, past))
    value.backward()
    assert abs(float(value.detach())) < 1e-6
    assert float(now.logits.grad.norm()) < 1e-6


@pytest.mark.parametrize("name", ["forward_kl", "jensen_shannon"])
def test_a_padded_past_is_not_stationary(name):
    past = output(0)
    now = still(past)
    value = LogitDistillation(name, support="all_padded")(step_of(now, past))
    value.backward()
    assert float(value.detach()) > 0.05
    assert float(now.logits.grad.norm()) > 0.01
    assert bool((now.logits.grad[:, 3:].sum(0) > 0).all())  # the new classes are pushed down


def test_a_padded_past_equals_its_twin():
    now, past = output(0), output(1)
    total = 0.0
    for a, b in zip(past.logits.tolist(), now.logits.tolist()):
        p, q = reference.softmax([v / 2 for v in a[:3]]), reference.softmax([v / 2 for v in b])
        total += 4 * sum(x * math.log(x / y) for x, y in zip(p, q)) / 6
    found = LogitDistillation(support="all_padded")(step_of(now, past))
    assert float(found) == pytest.approx(total, abs=1e-5)


@pytest.mark.parametrize("name", ["reverse_kl", "balanced_kl"])
def test_a_divergence_that_padding_makes_infinite_is_refused(name):
    with pytest.raises(ConfigError, match="padded by zeros makes this divergence infinite"):
        LogitDistillation(name, support="all_padded")


def test_a_divergence_of_ones_own_can_be_given():
    term = LogitDistillation(f_divergence(lambda u: u * u.log()))
    at = step_of(output(0), output(1))
    assert_close(term(at), LogitDistillation()(at))


def test_nothing_is_asked_before_there_is_a_past_or_of_a_part_that_is_not_there():
    assert float(LogitDistillation()(step_of(output(0), None))) == 0
    assert float(LogitDistillation(on="memory")(step_of(output(0), output(1)))) == 0


def test_it_asks_the_part_it_was_told():
    parts = {"batch": rows_of([3] * 6), "memory": rows_of([0] * 6, task=0)}
    at = step_of(output(0), output(1), parts)
    assert_close(LogitDistillation(on="memory")(at), LogitDistillation()(at))


# given rows


def given(n, stream, other=True):
    x = 255 - stream[0].train.x[:n] if other else stream[0].train.x[:n]
    return Rows(x, torch.zeros(n).long(), torch.zeros(n).long(), torch.arange(n))


def learned(method, stream, protocol):
    setup = Setup(Training(epochs=1, batch=16), Network(width=4), Machine("cpu"), protocol=protocol)
    work = Run(method, stream, setup)
    for _ in work.events():
        pass
    return work


def test_given_rows_are_asked_and_counted_as_stored(tiny_stream):
    asked = []

    class Noted(LogitDistillation):
        def value(self, part, step):
            asked.append((step.task, len(part) == len(step["batch"]), part is step["batch"]))
            return super().value(part, step)

    method = Method(CrossEntropy(), [1.0 * Noted(rows=given(10, tiny_stream))])
    work = learned(method, tiny_stream, Protocol("buffer", 12))
    assert asked == [(task, True, False) for task in (1, 2) for _ in range(4)]  # 50 rows by 13
    assert work.result.tasks[-1].holdings.images == 12  # the given ten, and two of the stream
    assert len(work.continual.memory) == 2
    exact = learned(method, tiny_stream, Protocol("buffer", 10))
    assert exact.result.tasks[-1].holdings.images == 10


@pytest.mark.parametrize("protocol", [Protocol(), Protocol("auxiliary", 20), Protocol("buffer", 9)])
def test_given_rows_need_a_protocol_that_allows_them(protocol, tiny_stream):
    method = Method(CrossEntropy(), [1.0 * LogitDistillation(rows=given(10, tiny_stream))])
    with pytest.raises(ConfigError, match=r"given 10 images.*--protocol buffer --images 10"):
        learned(method, tiny_stream, protocol)


def test_given_rows_are_brought_by_one_term(tiny_stream):
    brought, also = (LogitDistillation(rows=given(4, tiny_stream)) for _ in range(2))
    with pytest.raises(ConfigError, match="2 terms bring rows"):
        learned(Method(CrossEntropy(), [brought + also]), tiny_stream, Protocol("buffer", 9))
    with pytest.raises(ConfigError, match="no term was given any rows"):
        learned(Method(CrossEntropy(), [LogitDistillation(on="given")]), tiny_stream, Protocol())


# IndirectAlignment


def task_of(rows, index=0):
    return Task(index, tuple(sorted(set(rows.y.tolist()))), rows, rows)


def table_of(x, y):
    return Rows(x, torch.tensor(y), torch.zeros(len(y)).long(), torch.arange(len(y)))


def aligned(identity, T=2.0, k=3):
    """Anchored on k classes of two points each; the learner passes its inputs through."""
    x = torch.randn(2 * k, 3, generator=torch.Generator().manual_seed(7))
    term = IndirectAlignment(T)
    term.consolidate(identity, task_of(table_of(x, [*range(k)] * 2)))
    return term, x.view(2, k, 3).mean(0)


@pytest.mark.parametrize("T", [0.5, 5.0])
def test_alignment_equals_its_twin(identity, T):
    term, means = aligned(identity, T)
    now, past = output(0, dtype=torch.float32), output(1, dtype=torch.float32)
    assert_close(term.means, means)
    twin = reference.indirect_alignment(
        past.features.tolist(), now.features.tolist(), means.tolist(), T
    )
    assert float(term(step_of(now, past))) == pytest.approx(twin, rel=1e-4)


def test_alignment_is_stationary_at_the_past(identity):
    term, _ = aligned(identity)
    past = output(0, dtype=torch.float32)
    now = still(past)
    value = term(step_of(now, past))
    value.backward()
    assert abs(float(value.detach())) < 1e-6 and float(now.features.grad.norm()) < 1e-6
    assert float(term(step_of(output(1, dtype=torch.float32), past))) > 0.01


def test_a_class_that_comes_again_merges_by_its_counts(identity):
    x = torch.randn(9, 3, generator=torch.Generator().manual_seed(0))
    y = [0, 2, 0, 2, 2, 0, 2, 0, 0]
    once, twice = IndirectAlignment(), IndirectAlignment()
    once.consolidate(identity, task_of(table_of(x, y)))
    twice.consolidate(identity, task_of(table_of(x[:3], y[:3])))
    twice.consolidate(identity, task_of(table_of(x[3:], y[3:]), 1))
    assert_close(once.means, twice.means)
    assert once.means.shape == (2, 3)  # class 1 was never met
    twice.consolidate(identity, task_of(table_of(x[:2], [4, 4]), 2))
    assert_close(twice.means[:2], once.means)


def test_alignment_survives_in_a_fresh_object(identity):
    term, _ = aligned(identity)
    fresh = IndirectAlignment(2.0)
    fresh.load_state_dict(term.state_dict())
    at = step_of(output(0, dtype=torch.float32), output(1, dtype=torch.float32))
    assert torch.equal(fresh(at), term(at))
    untouched = IndirectAlignment()
    untouched.load_state_dict(IndirectAlignment().state_dict())
    assert untouched.statistics == {}


def test_alignment_keeps_a_vector_a_class_and_no_image(tiny_stream):
    work = learned(make("ida"), tiny_stream, Protocol())
    features = work.learner.head.weight.shape[1]
    assert work.result.tasks[-1].holdings.images == 0
    assert work.result.tasks[-1].holdings.floats == 6 * features + 6


# MatchLogits


def test_matching_equals_its_twin_over_what_was_there():
    noted = output(3, k=4).logits.float()
    noted[:3, 2:] = torch.nan
    now = output(0)
    at = step_of(now, None, {"batch": rows_of([3]), "memory": rows_of([0] * 6, 0, logits=noted)})
    twin = reference.match_logits(noted.tolist(), now.logits.tolist())
    assert float(MatchLogits()(at)) == pytest.approx(twin, rel=1e-5)


def test_matching_pulls_only_what_was_noted():
    noted = torch.zeros(6, 4)
    noted[:3, 2:] = torch.nan
    now = still(output(0))
    at = step_of(now, None, {"batch": rows_of([3]), "memory": rows_of([0] * 6, 0, logits=noted)})
    MatchLogits()(at).backward()
    assert bool(now.logits.grad.isfinite().all())
    expected = torch.ones(6, 5, dtype=torch.bool)
    expected[:3, 2:] = expected[:, 4] = False
    assert torch.equal(now.logits.grad != 0, expected)


def test_a_memory_that_notes_nothing_is_named():
    at = step_of(output(0), None, {"batch": rows_of([3]), "memory": rows_of([0] * 6)})
    with pytest.raises(ConfigError, match=r"no logits noted.*Reservoir\(columns="):
        MatchLogits()(at)


# weight aligning


def head_of(k):
    torch.manual_seed(0)
    return Learner((3,), classes=k, dim=4)


def test_new_rows_are_scaled_to_the_mean_norm_of_the_old():
    learner, rule = head_of(3), WeightAligning()
    before = learner.head.weight.detach().clone()
    rule.adjust(learner, task_of(table_of(torch.zeros(3, 3), [0, 1, 2])))
    assert torch.equal(learner.head.weight, before)  # nothing is old yet
    learner.head.grow(5)
    with torch.no_grad():
        learner.head.weight[3:] *= 7
    before, bias = learner.head.weight.detach().clone(), learner.head.bias.detach().clone()
    rule.adjust(learner, task_of(table_of(torch.zeros(2, 3), [3, 4]), 1))
    after = learner.head.weight.detach()
    norms = [math.sqrt(sum(v * v for v in row)) for row in before.tolist()]
    ratio = (sum(norms[:3]) / 3) / (sum(norms[3:]) / 2)
    assert_close(after[3:], before[3:] * ratio)
    assert torch.equal(after[:3], before[:3]) and torch.equal(learner.head.bias, bias)
    assert ratio < 0.5


def test_classes_that_come_again_are_left_alone():
    learner, rule = head_of(2), WeightAligning()
    for index in range(2):
        before = learner.head.weight.detach().clone()
        rule.adjust(learner, task_of(table_of(torch.zeros(2, 3), [0, 1]), index))
        assert torch.equal(learner.head.weight, before)


def test_aligning_remembers_in_a_fresh_object():
    rule, fresh = WeightAligning(), WeightAligning()
    rule.adjust(head_of(2), task_of(table_of(torch.zeros(2, 3), [0, 1])))
    fresh.load_state_dict(rule.state_dict())
    assert fresh.known == rule.known == (0, 1)


def test_the_past_is_the_aligned_network(tiny_stream):
    work = learned(make("lwf_wa"), tiny_stream, Protocol())
    norms = work.continual.past.head.weight.norm(dim=1)
    assert_close(norms[:4].mean(), norms[4:].mean())


# whole methods against a twin on the same step


def objective(method, at):
    return float(sum(o(at) for o in method.objectives))


def test_lwf_is_its_twin_on_a_step():
    now, past, y = output(0), output(1, k=3), [3, 4, 3, 4, 4, 3]
    twin = reference.cross_entropy(now.logits.tolist(), y, [3, 4])
    twin += 0.7 * reference.distillation(past.logits.tolist(), now.logits[:, :3].tolist(), 3.0)
    found = objective(make("lwf", weight=0.7, T=3.0), step_of(now, past))
    assert found == pytest.approx(twin, rel=1e-5)


def test_derpp_is_its_twin_on_a_step():
    noted, y = output(5).logits.float(), [0, 1, 2, 2, 1, 0]
    parts = {
        "batch": rows_of([3, 4, 3, 4, 4, 3]),
        "memory": rows_of(y, 0, logits=noted),
        "memory_2": rows_of(y[::-1], 0, logits=noted),
    }
    now = output(0)
    logits, everyone = now.logits.tolist(), [*range(5)]
    twin = reference.cross_entropy(logits, [3, 4, 3, 4, 4, 3], everyone)
    twin += 0.3 * reference.match_logits(noted.tolist(), logits)
    twin += 0.6 * reference.cross_entropy(logits, y[::-1], everyone)
    at = step_of(now, None, parts)
    assert objective(make("derpp", alpha=0.3, beta=0.6), at) == pytest.approx(twin, rel=1e-5)
    without = twin - 0.6 * reference.cross_entropy(logits, y[::-1], everyone)
    assert objective(make("der", alpha=0.3), at) == pytest.approx(without, rel=1e-5)


# a temperature a row


def test_rows_divided_by_their_deviation_equal_their_twin():
    past, now = output(0).logits, output(1).logits
    twin = regularise.mixed_distillation(past.tolist(), now.tolist())
    assert float(distillation(past, now, "std")) == pytest.approx(twin)
    term = LogitDistillation(T="std")
    known = regularise.mixed_distillation(past[:, :3].tolist(), now[:, :3].tolist())
    assert float(term(step_of(output(1), output(0)))) == pytest.approx(known, abs=1e-6)


def test_a_deviation_leaves_scale_and_shift_of_either_network_out():
    past, now = output(0).logits, output(1).logits
    expected = distillation(past, now, "std")
    assert_close(distillation(3 * past + 5, now, "std"), expected)
    stretch = torch.tensor([[0.1], [7.0], [1.0], [2.0], [30.0], [0.5]]).double()
    assert_close(distillation(past, stretch * now - stretch, "std"), expected)


def test_a_deviation_is_stationary_at_the_past_and_finite_where_logits_are_equal():
    past = output(0)
    now = still(past)
    value = LogitDistillation(T="std")(step_of(now, past))
    (grad,) = torch.autograd.grad(value, now.logits)
    assert float(value.detach()) == pytest.approx(0, abs=1e-9)
    assert_close(grad, torch.zeros_like(grad), atol=1e-7, rtol=0)
    flat = torch.zeros(2, 3).requires_grad_()
    distillation(
        torch.randn(2, 3, generator=torch.Generator().manual_seed(0)), flat, "std"
    ).backward()
    assert bool(flat.grad.isfinite().all())


def test_two_classes_have_no_deviation_worth_the_name():
    with pytest.raises(ConfigError, match=r"T=std needs 3 classes to compare, and here are 2"):
        distillation(torch.zeros(1, 2), torch.zeros(1, 2), "std")
    with pytest.raises(ConfigError, match='use support="old"'):
        LogitDistillation(T="std", support="all_padded")
    with pytest.raises(ConfigError, match="unknown temperature 'warm'"):
        unchecked(LogitDistillation.__init__)(LogitDistillation(), T="warm")
