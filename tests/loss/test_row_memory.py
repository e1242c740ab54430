"""Terms that note something beside each row of a task: PS-KD and ELR, against their twins."""

import copy
import math

import pytest
import torch
from torch.nn.functional import one_hot
from torch.testing import assert_close

import reference_regularise as reference
from checker import unchecked
from clouds import normal
from holdfast.core.errors import ConfigError, DataError
from holdfast.core.rows import Rows, cat
from holdfast.core.step import Step
from holdfast.learner import Output
from holdfast.loss import CrossEntropy, EarlyLearning, SelfTaught, agreement_penalty
from holdfast.loss.row_table import RowTable
from holdfast.recipes.method import Method
from holdfast.stream.task import Task
from holdfast.testing.streams import vectors
from holdfast.testing.watched import QUICK
from holdfast.train.continual import Continual

KEYS = [3, 8, 5, 8, 3, 11]  # two samples in two views


def rows_of(y, keys=None, task=1):
    y = torch.tensor(y)
    key = torch.arange(len(y)) if keys is None else torch.tensor(keys)
    return Rows(torch.zeros(len(y), 1), y, torch.full_like(y, task), key)


def step_of(logits, rows, epoch=0, epochs=4, **more):
    said = Output(logits, logits, logits)
    options = {"task": 1, "classes": (2, 3), "seen": (0, 1, 2, 3)} | more
    return Step({"batch": rows}, lambda x: said, epoch=epoch, epochs=epochs, **options)


def begun(term, rows):
    term.begin(None, Task(1, (2, 3), rows, rows))
    return term


ROWS = rows_of([2, 3, 2, 3, 2, 3], KEYS)


# the table


def test_views_of_a_sample_share_a_row_that_takes_their_mean():
    table, values = RowTable(), normal(0, 6, 2)
    assert bool(table.read(ROWS.key, values).isnan().all())
    table.write(ROWS.key, values)
    assert table.values is None  # nobody opened it
    table.open(ROWS)
    table.write(ROWS.key, values)
    read = table.read(torch.tensor([8, 11, 7]), values[:3])
    assert_close(read[0], (values[1] + values[3]) / 2)
    assert_close(read[1], values[5])
    assert bool(read[2].isnan().all())
    table.write(torch.tensor([7]), values[:1])  # of another task: nobody's
    assert_close(table.read(torch.tensor([11]), values[:1])[0], values[5])
    other = RowTable()
    other.take(table.state())
    assert_close(other.read(ROWS.key, values), table.read(ROWS.key, values))
    table.close()
    assert table.state() == {}


# PS-KD


@pytest.mark.parametrize("share", [0.8, 0.3])
def test_targets_are_softened_by_the_answers_of_the_epoch_before(share):
    term, first, second = begun(SelfTaught(share, "new"), ROWS), normal(0, 6, 4), normal(1, 6, 4)
    y = [0, 1, 0, 1, 0, 1]
    twin = reference.self_taught(first[:, 2:].tolist(), y, [None] * 6, share / 4)
    assert float(term(step_of(first, ROWS))) == pytest.approx(twin)
    p = first[:, 2:].softmax(1)
    means = {k: p[[i for i in range(6) if KEYS[i] == k]].mean(0).tolist() for k in KEYS}
    for epoch in (1, 3):
        copied = SelfTaught(share, "new")
        copied.load_state_dict(copy.deepcopy(term.state_dict()))
        twin = reference.self_taught(
            second[:, 2:].tolist(), y, [means[k] for k in KEYS], share * (epoch + 1) / 4
        )
        assert float(copied(step_of(second, ROWS, epoch))) == pytest.approx(twin)


def test_without_a_share_it_is_cross_entropy_to_the_bit():
    for classes in ("new", "seen", "all"):
        term = begun(SelfTaught(0.0, classes), ROWS)
        for seed in (0, 1):
            logits = normal(seed, 6, 4).float()
            step = step_of(logits, ROWS, seed)
            assert torch.equal(term(step), CrossEntropy(classes)(step_of(logits, ROWS, seed)))


def test_where_it_says_what_it_said_the_gradient_is_the_labels_alone():
    """p - t with t = (1-a) onehot + a p is (1-a)(p - onehot)."""
    rows, logits = rows_of([2, 3, 2]), normal(0, 3, 4).requires_grad_()
    term = begun(SelfTaught(0.6, "new"), rows)
    term(step_of(logits.detach(), rows))
    (grad,) = torch.autograd.grad(term(step_of(logits, rows, 3)), logits)
    p = logits.detach()[:, 2:].softmax(1)
    labels = one_hot(torch.tensor([0, 1, 0]), 2)
    assert_close(grad[:, 2:], (1 - 0.6) * (p - labels) / 3)
    assert not bool(grad[:, :2].any())


def test_what_a_step_reads_is_what_the_epoch_before_wrote_however_often_it_is_asked():
    """A rule may ask for the loss twice in an update."""
    term = begun(SelfTaught(0.8, "new"), ROWS)
    term(step_of(normal(0, 6, 4), ROWS))
    step = step_of(normal(1, 6, 4), ROWS, 2)
    assert torch.equal(term(step), term(step))


def test_rows_of_a_memory_and_classes_that_do_not_compete_are_asked_plainly():
    old = rows_of([0, 2, 3], [90, 91, 92])
    rows, logits = cat([ROWS, old]), normal(0, 9, 4)
    term = begun(SelfTaught(0.8, "seen"), ROWS)
    term(step_of(logits, rows))
    y = rows.y.tolist()
    p = logits.softmax(1)
    means = [p[[i for i in range(9) if rows.key[i] == k]].mean(0).tolist() for k in KEYS]
    twin = reference.self_taught(normal(1, 9, 4).tolist(), y, [*means, None, None, None], 0.8)
    assert float(term(step_of(normal(1, 9, 4), rows, 3))) == pytest.approx(twin)
    assert float(SelfTaught(0.8, "new")(step_of(normal(0, 1, 4), old[:1]))) == 0


# ELR


@pytest.mark.parametrize("beta", [0.7, 0.25])
def test_targets_move_before_the_term_is_read(beta):
    term, known = begun(EarlyLearning(beta), ROWS), {}
    for visit in range(3):
        logits = 2 * normal(visit, 6, 4)
        twin, known = reference.early_learning(logits[:, 2:].tolist(), known, beta, KEYS)
        assert float(term(step_of(logits, ROWS, visit))) == pytest.approx(twin)
        targets = term.table.read(ROWS.key, logits[:, 2:])
        assert_close(targets.sum(1), torch.full((6,), 1 - beta ** (visit + 1)).double())


def test_the_gradient_of_a_row_is_known_and_sums_to_nothing():
    logits, target = normal(0, 4, 3).requires_grad_(), 0.8 * normal(1, 4, 3).softmax(1)
    (grad,) = torch.autograd.grad(agreement_penalty(logits, target).sum(), logits)
    p = logits.detach().softmax(1)
    s = (p * target).sum(1, keepdim=True)
    assert_close(grad, p * (s - target) / (1 - s))
    assert_close(grad.sum(1), torch.zeros(4).double())


def test_a_certain_row_stays_finite_and_no_gradient_flows_through_the_targets():
    logits = torch.tensor([[400.0, 0.0], [0.0, 1.0]]).repeat(1, 2)[:, :4].requires_grad_()
    rows = rows_of([2, 3])
    term = begun(EarlyLearning(0.0), rows)
    value = term(step_of(logits, rows))
    value.backward()
    assert bool(value.isfinite()) and bool(logits.grad.isfinite().all())
    assert not term.table.values.requires_grad


def test_rows_that_are_not_of_the_task_ask_nothing():
    term, logits = begun(EarlyLearning(), ROWS), normal(0, 8, 4)
    alone = begun(EarlyLearning(), ROWS)(step_of(logits[:6], ROWS))
    both = cat([ROWS, rows_of([0, 2], [90, 91])])
    assert_close(term(step_of(logits, both)), alone)
    assert float(EarlyLearning()(step_of(logits[:6], ROWS))) == 0  # before a task


def right_with_wrong_labels(weight):
    """Share of the true labels that a network gives two clouds, 40 % of which it learned by lot."""
    x, y = vectors(60, 0)
    x, y = x[y < 2], y[y < 2]
    chance = torch.Generator().manual_seed(3)
    lots = torch.rand(2, len(y), generator=chance)
    taught = torch.where(lots[0] < 0.4, (lots[1] < 0.5).long(), y)
    rows = Rows(x, taught, torch.zeros_like(y), torch.arange(len(y)))
    method = Method(CrossEntropy("new"), [weight * EarlyLearning(0.7)])
    core = Continual(method, x.shape[1:], QUICK.updated(epochs=40, batch=20, lr=0.1), 2)
    core.learn(Task(0, (0, 1), rows, rows))
    return float((core.scores(x).argmax(1) == y).double().mean())


def test_with_wrong_labels_it_is_right_more_often_than_cross_entropy():
    assert right_with_wrong_labels(3.0) > right_with_wrong_labels(0.0) + 0.03


def test_what_is_noted_goes_on_where_a_run_stopped_and_is_gone_when_the_task_ends(tiny_stream):
    for term in (SelfTaught(0.8, "new"), EarlyLearning()):
        core = Continual(Method(CrossEntropy("new"), [term]), tiny_stream.shape, QUICK, 6)
        next(iter(core.epochs(tiny_stream[0])))
        part = core.method.terms[-1]
        assert part.table.values.shape == (len(tiny_stream[0].train) + 1, 2)
        assert bool(part.table.values[:-1].isfinite().all())
        twin = Continual(Method(CrossEntropy("new"), [term]), tiny_stream.shape, QUICK, 6)
        twin.restore(core.state())
        assert torch.equal(twin.method.terms[-1].table.values[:-1], part.table.values[:-1])
        twin.learn(tiny_stream[0])
        assert twin.method.terms[-1].table.state() == {} and twin.holdings.floats == 0


def test_numbers_that_cannot_be_are_refused():
    with pytest.raises(ConfigError, match=r"own answers lies in \[0, 1\], not 1.5"):
        SelfTaught(1.5)
    with pytest.raises(ConfigError, match=r"in \[0, 1\), not beta=1"):
        EarlyLearning(1.0)
    with pytest.raises(DataError, match="must have one shape"):
        unchecked(agreement_penalty)(torch.zeros(2, 3), torch.zeros(2, 2))
    assert math.isclose(float(agreement_penalty(torch.zeros(1, 2), torch.zeros(1, 2))), 0.0)
