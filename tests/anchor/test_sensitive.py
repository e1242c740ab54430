"""Weights on which domains disagree: the ratio, what a rule sees, and the anchor made of it."""

import pytest
import torch

import reference_domains as twin
from holdfast.anchor import DomainGradients, DomainSensitive, Quadratic, sensitivity
from holdfast.core.errors import ConfigError
from holdfast.loss import CrossEntropy
from holdfast.recipes import make
from holdfast.recipes.method import Method
from holdfast.recipes.parts.domains import domain_sensitive
from holdfast.stream import make_domains
from holdfast.testing import check_recipe, check_rule, check_term, small_source, small_stream
from holdfast.testing.bench import Bench, gradients
from holdfast.testing.subject import Subject
from holdfast.testing.watched import QUICK
from holdfast.train.events import TaskDone
from holdfast.train.runner import Run

LAWS = (
    "a_method_is_a_value",
    "same_seed_same_bits",
    "resume_is_uninterrupted",
    "figures_are_sound",
)


def mixed():
    return make_domains(small_source(each=12), "corrupted:clean,contrast@5:mix=yes", tasks=3)


def turned():
    return make_domains(small_source(each=8), "rotated:0,40,80")


def test_the_ratio_equals_its_twin_and_does_not_depend_on_the_scale():
    g = torch.randn(3, 7, generator=torch.Generator().manual_seed(0)).double()
    g[:, 2] = 0
    c = sensitivity(g)
    assert torch.allclose(c, torch.tensor(twin.sensitivity(g.tolist())).double())
    assert torch.allclose(c, sensitivity(1e-6 * g)) and 0 <= float(c.min()) <= float(c.max()) <= 1


def test_equal_domains_are_0_and_what_one_alone_asks_is_near_1():
    g = torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.0, -1.0]])
    assert sensitivity(g).tolist() == pytest.approx([0.0, 0.5, 1.0])
    alone = torch.zeros(50, 1)
    alone[0] = 1.0
    assert float(sensitivity(alone)) == pytest.approx(0.98)
    assert sensitivity(torch.ones(1, 3)).tolist() == [0, 0, 0]


def domain_gradient(bench, step, domain):
    """Of the mean cross-entropy of a domain's rows, with batch norm as the whole batch has it."""
    part = step.anew()["batch"]
    mine = part.rows.extra["domain"] == domain
    kept = {n: b.clone() for n, b in bench.learner.named_buffers()}
    loss = torch.nn.functional.cross_entropy(part.out.logits[mine], part.rows.y[mine])
    slopes = gradients(loss, bench.learner)
    with torch.no_grad():
        for n, b in bench.learner.named_buffers():
            b.copy_(kept[n])
    return slopes


def test_the_rule_sees_each_domains_gradient_and_averages():
    stream = mixed()
    bench, rule = Bench(16, stream), DomainGradients(every=1)
    rule.begin(bench.learner, stream[1])
    step = bench.step()
    before = {n: b.clone() for n, b in bench.learner.named_buffers()}
    rule.observe({}, {}, step)
    assert all(torch.equal(b, before[n]) for n, b in bench.learner.named_buffers())
    firsts = [domain_gradient(bench, step, d) for d in (0, 1)]
    for d, slopes in enumerate(firsts):
        for name, slope in slopes.items():
            assert torch.allclose(rule.seen[d][name], slope, atol=1e-6)
    with torch.no_grad():
        for p in bench.learner.parameters():
            p.mul_(1.1)
    rule.observe({}, {}, step)
    for d, first in enumerate(firsts):
        for name, slope in domain_gradient(bench, step, d).items():
            expected = 0.9 * first[name] + 0.1 * slope
            assert torch.allclose(rule.seen[d][name], expected, atol=1e-5)


def test_it_looks_every_few_steps_of_the_first_part_of_a_task():
    stream = mixed()
    bench, rule = Bench(16, stream), DomainGradients(every=3, warm=0.5)
    looks = []
    rule._look = lambda step: looks.append(rule.steps)
    rule.begin(bench.learner, stream[1])
    step = bench.step()
    step.epochs = 4
    for epoch in range(4):
        step.epoch = epoch
        for _ in range(4):
            rule.observe({}, {}, step)
    assert looks == [1, 4, 7]


def test_the_anchor_is_lambda_times_the_ratio():
    stream = mixed()
    bench, rule = Bench(16, stream), DomainGradients(every=1)
    anchor = Quadratic(DomainSensitive(rule), 3.0, decay=0.0)
    for part in (anchor, rule):
        part.begin(bench.past, stream[1])
    rule.observe({}, {}, bench.step())
    seen = {d: dict(named) for d, named in rule.seen.items()}
    anchor.consolidate(bench.learner, stream[1])
    rule.consolidate(bench.learner, stream[1])
    assert rule.seen == {}
    named = dict(bench.learner.named_parameters())
    centre = {n: w.detach().clone() for n, w in named.items()}
    with torch.no_grad():
        for w in named.values():
            w.add_(0.1 * torch.ones_like(w))
    expected = 0.0
    for name in centre:
        if name.split(".")[0] == "projector" or name not in seen[0]:
            continue
        pair = [seen[d][name].flatten().tolist() for d in (0, 1)]
        c = torch.tensor(twin.sensitivity(pair)).view_as(centre[name])
        expected += 3.0 * float((c * (named[name].detach() - centre[name]).square()).sum())
    assert anchor(bench.step()).item() == pytest.approx(expected, rel=1e-3)
    assert expected > 0.01


def test_after_the_first_domain_nothing_is_held_and_after_the_second_something_is():
    method = domain_sensitive(1.0, 1)(Method(CrossEntropy("seen"), name="sensitive"))
    run, ends = Run(method, turned(), QUICK), []
    for event in run.events():
        if isinstance(event, TaskDone):
            (quadratic,) = run.continual.method.anchors[0].prior.quadratics
            ends.append((float(quadratic.H.values.min()), float(quadratic.H.values.max())))
    assert ends[0] == (0, 0) and ends[1][0] >= 0 and 0.01 < ends[1][1] <= 2
    check_recipe(Subject(method, stream=turned()), LAWS[2:])


def test_the_laws_of_the_rule_and_of_the_anchor():
    for stream in (mixed(), turned()):
        check_rule(DomainGradients(2), run=False, stream=stream)
        check_term(Quadratic(DomainSensitive(DomainGradients(2))), run=False, stream=stream)
    check_recipe(Subject(domain_sensitive(1.0, 2)(make("lwf_strict")), stream=mixed()), LAWS[2:])


def test_bad_input_is_one_sentence():
    with pytest.raises(ConfigError, match="every >= 1 and warm"):
        DomainGradients(0)
    with pytest.raises(ConfigError, match="every >= 1 and warm"):
        DomainGradients(1, 1.5)
    stream, bench, rule = small_stream(each=4), Bench(), DomainGradients()
    rule.consolidate(bench.learner, stream[0])
    with pytest.raises(ConfigError, match="shares no class"):
        rule.begin(bench.learner, stream[1])
    with pytest.raises(ConfigError, match="no term of this method trains a head"):
        domain_sensitive()(make("fnc2_strict"))
