"""The head's rehearsal on draws from stored Gaussians."""

import copy
from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

import reference
from holdfast.anchor import FeatureDistillation, PseudoRehearsal
from holdfast.core.errors import ConfigError, DataError
from holdfast.core.numerics import to_float
from holdfast.core.output import outputs
from holdfast.core.rng import make_generator
from holdfast.core.settings import Machine, Network, Training
from holdfast.core.step import Step
from holdfast.loss import CrossEntropy
from holdfast.memory.meter import measure
from holdfast.recipes import make
from holdfast.recipes.method import Method
from holdfast.statistics import GaussianSource
from holdfast.train.runner import Run
from holdfast.train.setup import Setup

SHORT = Training(epochs=2, batch=16, lr=0.05)
SMALL = {"network": Network(width=2), "machine": Machine("cpu")}


def rehearsal_of(work):
    return next(t for t in work.continual.method.terms if isinstance(t, PseudoRehearsal))


@pytest.fixture(scope="module")
def learned(tiny_stream):
    method = Method(CrossEntropy("new"), [PseudoRehearsal(each=20), FeatureDistillation()])
    work = Run(method, tiny_stream, Setup(SHORT, readout="gaussian:drift=ridge", **SMALL))
    return work, list(work.events())


def step_of(work, task):
    rows = replace(task.train[:8], x=to_float(task.train.x[:8]))
    past = copy.deepcopy(work.learner)
    return Step(
        {"batch": rows}, work.learner, past, 3, (4, 5), tuple(range(6)), learner=work.learner
    )


def test_its_statistics_are_those_of_the_readout(learned):
    """Both follow the same drift from the same past network."""
    work, _ = learned
    term = rehearsal_of(work)
    readout = work.continual.readouts[work.continual.readout]
    assert_close(term.source.known.state(), readout.known.state())
    assert term.source.tracker.residuals == readout.residuals
    assert term.pool is None


def test_it_is_a_cross_entropy_over_all_classes_that_moves_the_head_alone(learned, tiny_stream):
    work, _ = learned
    term = copy.deepcopy(rehearsal_of(work))
    learner = work.learner.eval()
    learner.zero_grad()
    value = term(step_of(work, tiny_stream[2]))
    value.backward()
    x, y = term.pool
    assert len(x) == 6 * 20 and y.tolist() == [k for k in range(6) for _ in range(20)]
    generator = make_generator(torch.device("cpu"), 0, "rehearsal", 3, 0, 0)
    rows = torch.randint(120, (8,), generator=generator)
    logits = learner.head(x[rows].float()).tolist()
    expected = reference.cross_entropy(logits, y[rows].tolist(), range(6))
    assert value.item() == pytest.approx(expected, rel=1e-4)
    moved = {n for n, p in learner.named_parameters() if p.grad is not None and p.grad.abs().sum()}
    assert moved == {"head.weight", "head.bias"}
    assert not torch.equal(term(step_of(work, tiny_stream[2])), value)  # other rows of the pool
    learner.zero_grad()


@pytest.mark.parametrize("known, fresh", [((0, 1, 2, 3), 3), ((0, 1, 2, 3, 4, 5), 0), ((0,), 7)])
def test_rows_of_the_batch_stand_among_the_draws_so_that_classes_count_alike(
    known, fresh, learned, tiny_stream
):
    """Of 8 rows: a share of new classes, of which a task may have none."""
    work, _ = learned
    term = copy.deepcopy(rehearsal_of(work))
    term.new = True
    learner = work.learner.eval()
    learner.zero_grad()
    step = step_of(work, tiny_stream[2])
    step.known = known
    value = term(step)
    value.backward()
    x, y = term.pool
    generator = make_generator(torch.device("cpu"), 0, "rehearsal", 3, 0, 0)
    rows = torch.randint(120, (8 - fresh,), generator=generator)
    part = step["batch"]
    features = torch.cat([x[rows].float(), part.out.features[:fresh]])
    labels = y[rows].tolist() + part.rows.y[:fresh].tolist()
    expected = reference.cross_entropy(learner.head(features).tolist(), labels, range(6))
    assert value.item() == pytest.approx(expected, rel=1e-4)
    moved = {n for n, p in learner.named_parameters() if p.grad is not None and p.grad.abs().sum()}
    assert moved == {"head.weight", "head.bias"}
    assert PseudoRehearsal(new=True).reads == ("logits", "features")
    learner.zero_grad()


def test_no_image_is_kept_and_the_statistics_are_counted(learned):
    work, events = learned
    holdings = events[-1].result.holdings
    assert holdings.images == 0
    f, K = work.learner.backbone.features, 6
    assert measure({"r": rehearsal_of(work)}, None).floats == K + K * f + f * f


def test_the_drift_step_needs_no_step_before_it(learned, tiny_stream):
    """A checkpoint may stand between the last epoch of a task and its end."""
    work, _ = learned
    past, task = copy.deepcopy(work.learner).eval(), tiny_stream[2]
    now = copy.deepcopy(past)
    with torch.no_grad():
        for weight in now.backbone.parameters():
            weight.mul_(1.1)
    stepped, resumed = (copy.deepcopy(rehearsal_of(work)) for _ in range(2))
    stepped(step_of(work, task))
    for term in (stepped, resumed):
        term.consolidate(now, task, past)
    assert_close(resumed.source.known.state(), stepped.source.known.state(), rtol=0, atol=0)
    assert stepped.source.tracker.residuals == resumed.source.tracker.residuals
    expected = copy.deepcopy(rehearsal_of(work)).source
    x, before = (outputs(net, task.train).features for net in (now, past))
    expected.update(x, task.train.y, 6, before)
    assert_close(resumed.source.known.state(), expected.known.state(), rtol=0, atol=0)
    stale = copy.deepcopy(rehearsal_of(work))
    stale.consolidate(now, task)
    assert float((stale.source.known.mean - resumed.source.known.mean).abs().max()) > 1e-3


def test_its_state_goes_into_a_fresh_term_and_goes_on_alike(learned, tiny_stream):
    work, _ = learned
    term, fresh = copy.deepcopy(rehearsal_of(work)), PseudoRehearsal(each=20)
    fresh.load_state_dict(term.state_dict())
    first, second = (t(step_of(work, tiny_stream[2])) for t in (term, fresh))
    assert torch.equal(first, second)


def test_a_task_without_rows_of_a_class_is_refused(identity, tiny_stream):
    task = replace(tiny_stream[0], classes=(0, 1, 2))
    with pytest.raises(DataError, match="class 2 of task 1 has no training example: a rehearsal"):
        PseudoRehearsal().consolidate(identity, task)


def test_rehearsed_heads_keep_old_classes(digits_stream):
    final = {}
    for weight in (0.0, 10.0):
        method = make("lwf_strict", rehearse=weight, rotations=0.0, gpm=0.0, decide="head")
        wider = SMALL | {"network": Network(width=8)}
        work = Run(method, digits_stream, Setup(Training(epochs=8, batch=32, lr=0.02), **wider))
        list(work.events())
        final[weight] = float(work.result.class_il.matrix[4, :4].mean())
    assert final[10.0] > final[0.0] + 0.1


def test_less_than_one_draw_is_refused():
    with pytest.raises(ConfigError, match="at least 1 draw of a class, not 0"):
        PseudoRehearsal(each=0)
    assert isinstance(PseudoRehearsal().source, GaussianSource)
