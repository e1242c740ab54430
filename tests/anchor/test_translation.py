"""Rows of new classes that stand for old ones: where they go, and whom they stand for."""

import copy

import pytest
import torch
from torch.nn.functional import cross_entropy
from torch.testing import assert_close

from holdfast.anchor import TranslatedRehearsal, translated
from holdfast.anchor.translation import nearest_new
from holdfast.core.errors import ConfigError
from holdfast.core.output import outputs
from holdfast.core.step import Step
from holdfast.recipes import make
from holdfast.testing.bench import Bench
from holdfast.testing.terms import prepared, value_of
from holdfast.testing.watched import QUICK
from holdfast.train.continual import Continual


def test_rows_keep_their_place_about_the_mean():
    means = torch.tensor([[1.0, 0.0], [0.0, 5.0], [2.0, 2.0]])
    rows = translated(means[1:] + 0.5, torch.tensor([1, 2]), torch.tensor([0, 0]), means)
    assert_close(rows, torch.tensor([[1.5, 0.5], [1.5, 0.5]]))


def test_the_nearest_class_is_by_direction_and_not_by_distance():
    old, new = torch.tensor([[10.0, 1.0], [0.0, 1.0]]), torch.tensor([[1.0, 0.1], [9.0, 9.0]])
    assert nearest_new(old, new).tolist() == [0, 1]


def test_each_row_stands_for_an_old_class_it_is_nearest_to():
    bench = Bench()
    term = prepared(TranslatedRehearsal(), bench)
    assert term.holds_backbone
    means = torch.stack([
        outputs(bench.past if k < 2 else bench.learner, task.train[task.train.y == k]).features.mean(0)
        for task in (bench.stream[0], bench.task) for k in task.classes
    ])  # fmt: skip
    assert_close(term.means[:4], means, rtol=1e-4, atol=1e-5)
    nearest = {2 + int(n) for n in nearest_new(means[:2], means[2:])}
    assert {n for n in range(6) if bool(term.fits[n].any())} == nearest
    assert term.fits[:, :2].sum() == 2 and not bool(term.fits[:, 2:].any())


def test_its_value_is_that_of_the_moved_rows():
    """With one old class nothing is left to chance."""
    bench = Bench()
    term = prepared(TranslatedRehearsal(), bench)
    term.fits = torch.zeros(6, 6, dtype=torch.bool)
    term.fits[2, 1] = True
    step = bench.step()
    part = step["batch"]
    of = part.rows.y == 2
    rows = part.out.features[of] + term.means[1] - term.means[2]
    logits = bench.learner.head(rows)[:, :4]
    expected = cross_entropy(logits, torch.ones(int(of.sum())).long()) * 2 / 2
    assert_close(value_of(term, step), expected)
    term.fits[2, 0] = True  # now its rows serve two classes, and count for both
    term.fits[3, 1] = True
    values = []
    for seed in range(60):
        torch.manual_seed(seed)
        values.append(float(term(step).detach()))
    other = part.rows.y == 3
    each = [
        cross_entropy(
            bench.learner.head(part.out.features[m] + term.means[c] - term.means[n])[:, :4],
            torch.full((int(m.sum()),), c), reduction="sum",
        ).item()
        for m, n, c in ((of, 2, 0), (of, 2, 1), (other, 3, 1))
    ]  # fmt: skip
    mean = sum(each) / (2 * int(of.sum()) + int(other.sum()))
    assert sum(values) / len(values) == pytest.approx(mean, rel=0.1)
    assert max(values) - min(values) > 1e-4


def test_the_head_alone_gets_a_gradient():
    bench = Bench()
    term = prepared(TranslatedRehearsal(), bench)
    value_of(term, bench.step()).backward()
    moving = {n for n, p in bench.learner.named_parameters() if p.grad is not None}
    assert moving == {"head.weight", "head.bias"}


def test_the_network_stands_still_after_the_first_task(tiny_stream):
    core = Continual(make("fetril"), tiny_stream.shape, QUICK, 6)
    core.learn(tiny_stream[0])
    before = copy.deepcopy(dict(core.learner.backbone.state_dict()))
    core.learn(tiny_stream[1])
    after = core.learner.backbone.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(p.requires_grad for p in core.learner.parameters())
    kept = core.learner.head.weight.detach().clone()
    term = core.method.terms[-1]
    assert term.means is None and not term.holds_backbone and len(term.source.known.mean) == 4
    core.learn(tiny_stream[2])
    assert not torch.equal(core.learner.head.weight[:4], kept)


def test_a_step_without_its_learner_is_refused():
    bench = Bench()
    term = prepared(TranslatedRehearsal(), bench)
    step = Step({"batch": bench.task.train}, bench.learner, bench.past, task=1)
    with pytest.raises(ConfigError, match="needs Step"):
        term(step)
