"""Mask tuning: W stands still, gradients go straight through, and a task begins with the network of W."""

import pytest
import torch
from torch.nn import functional

from holdfast.anchor import MaskTuning
from holdfast.core.errors import ConfigError
from holdfast.core.output import outputs
from holdfast.learner.states import under
from holdfast.recipes import make
from holdfast.testing import check_rule, small_stream
from holdfast.testing.bench import Bench
from holdfast.testing.streams import CLASSES
from holdfast.testing.watched import QUICK
from holdfast.train.continual import Continual


def begun(**settings):
    """A rule that has begun the second task of a bench, whose first trained W."""
    bench = Bench()
    rule = MaskTuning(**settings)
    rule.begin(bench.learner, bench.stream[0])
    rule.adjust(bench.learner, bench.stream[0])
    rule.begin(bench.learner, bench.task)
    return rule, bench


def test_a_task_begins_with_the_network_of_w():
    bench = Bench()
    rows = bench.task.test
    before = outputs(bench.learner, rows)
    rule, bench = begun()
    assert torch.equal(outputs(bench.learner, rows).features, before.features)
    assert all(bool(mask.all()) for mask in rule.masks.values())


def test_the_gradient_of_a_score_is_that_of_its_mask():
    rule, bench = begun(penalty=0.0)
    step = bench.step()
    x, y = step["batch"].rows.x, step["batch"].rows.y
    bench.learner.train()
    functional.cross_entropy(bench.learner(x).logits, y).backward()
    named = dict(bench.learner.named_parameters())
    raw = {n: p.grad.clone() for n, p in named.items() if p.grad is not None}
    edits = rule.gradient(raw, step)
    name = "backbone.layers.3.weight"
    assert not edits[name].any()
    assert torch.equal(edits["head.weight"], raw["head.weight"])
    layer, bench.learner.backbone.layers[3] = bench.learner.backbone.layers[3], None
    shared = bench.learner.states.weights()[name]
    mask = torch.ones_like(shared, requires_grad=True)

    class Twin(torch.nn.Module):
        def forward(self, a):
            return functional.conv2d(a, mask * shared, None, layer.stride, layer.padding)

    bench.learner.backbone.layers[3] = Twin()
    functional.cross_entropy(bench.learner(x).logits, y).backward()
    torch.testing.assert_close(rule._slopes[name], mask.grad)


def test_the_penalty_pulls_every_score_by_its_share_of_the_length():
    plain, bench = begun(penalty=0.0)
    pulled, _ = begun(penalty=0.7)
    g = {n: torch.randn_like(r) for n, r in plain.scores.items()}
    plain.gradient(dict(g), bench.step())
    pulled.gradient(dict(g), bench.step())
    length = sum(float(r.square().sum()) for r in pulled.scores.values()) ** 0.5
    for name, r in pulled.scores.items():
        torch.testing.assert_close(pulled._slopes[name], plain._slopes[name] + 0.7 * r / length)


def test_scores_below_the_threshold_switch_their_weights_off():
    rule, bench = begun(rate=1.0, penalty=0.0)
    name = "backbone.layers.0.weight"
    shared = bench.learner.states.weights()[name]
    slope = torch.zeros_like(shared)
    slope[0] = 1.0 / shared[0]  # dL/dr = 1: the first step of Adam moves by lr
    named = {n: p.detach() for n, p in bench.learner.named_parameters()}
    step = bench.step()
    rule.gradient({name: slope}, step)
    rule.settle({name: named[name]}, step)
    assert not named[name][0].any()
    assert torch.equal(named[name][1:], shared[1:])
    expected = torch.full_like(shared[0], rule.start - step.lr)
    torch.testing.assert_close(rule.scores[name][0], expected)


@pytest.mark.parametrize("first", [True, False])
def test_w_has_its_bits_after_every_task_that_tunes_masks(first):
    method = make("masks", rate=1.0, first=first)
    core = Continual(method, small_stream().shape, QUICK, CLASSES)
    kept = None
    for task in small_stream():
        for _ in core.epochs(task):
            shared = core.learner.states.weights()
            if task.index or not first:
                kept = kept or {n: w.clone() for n, w in shared.items()}
                assert all(torch.equal(w, kept[n]) for n, w in shared.items())
    masks = [core.learner.states.masks(i) for i in range(3)]
    name = "backbone.layers.3.weight"
    assert bool(masks[0][name].all()) == first
    assert not masks[1][name].all()
    assert not torch.equal(masks[1][name], masks[2][name])
    with under(core.learner, 1):
        live = dict(core.learner.named_parameters())[name]
        assert torch.equal(live.detach(), kept[name] * masks[1][name])


def test_it_obeys_the_laws_of_a_rule():
    check_rule(MaskTuning(rate=1.0))


@pytest.mark.parametrize("settings", [{"start": 1e-3}, {"rate": -1.0}, {"penalty": -1.0}])
def test_bad_settings_are_refused(settings):
    with pytest.raises(ConfigError):
        MaskTuning(**settings)


def test_a_network_that_stands_still_is_refused_by_name():
    bench = Bench()
    bench.learner.backbone.requires_grad_(False)
    with pytest.raises(ConfigError, match="--tune-layers"):
        MaskTuning().begin(bench.learner, bench.task)
