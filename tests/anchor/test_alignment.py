"""Domains that agree on the head: closed forms against autograd, and what is refused."""

import pytest
import torch

import reference_domains as twin
from checker import unchecked
from holdfast.anchor import HeadAlignment, head_moments
from holdfast.core.errors import ConfigError
from holdfast.core.output import Output
from holdfast.core.rows import Rows
from holdfast.core.step import Step
from holdfast.recipes import make
from holdfast.recipes.parts.domains import head_alignment, hessian_alignment
from holdfast.stream import make_domains
from holdfast.testing import check_term, small_source, small_stream
from holdfast.testing.bench import Bench

K, F = 4, 3


def rows_of(n=24, domains=3, seed=0):
    chance = torch.Generator().manual_seed(seed)
    h = torch.randn(n, F, generator=chance).double()
    y = torch.randint(0, K, (n,), generator=chance)
    domain = torch.arange(n) % domains
    weight = torch.randn(K, F + 1, generator=chance).double()
    return h, y, domain, weight


def asked(term, h, y, domain, weight, column=True, task=0, seen=tuple(range(K))):
    """The term's value on given features by a given head, and the gradient by the features."""
    h = h.clone().requires_grad_()
    logits = h @ weight[:, :-1].T + weight[:, -1]
    extra = {"domain": domain} if column else {}
    tasks = torch.zeros_like(y) if column else domain
    rows = Rows(h.detach(), y, tasks, torch.arange(len(y)), extra)
    step = Step({"batch": rows}, lambda x: Output(h, h, logits), task=task, classes=seen, seen=seen)
    term.columns = int(domain.max()) + 1 if column else 0
    value = term(step)
    return value, h


@pytest.mark.parametrize("form", ["diagonal", "product"])
@pytest.mark.parametrize("a, b", [(0.7, 0.3), (0.0, 2.0), (1.5, 0.0)])
@pytest.mark.parametrize("column", [True, False])
def test_the_value_is_that_of_autograd(form, a, b, column):
    h, y, domain, weight = rows_of()
    term = HeadAlignment(b, a, form)
    value, _ = asked(term, h, y, domain, weight, column, task=2)
    expected = twin.head_alignment(
        weight, h, y.tolist(), domain.tolist(), list(range(K)), a, b, form
    )
    assert value.item() == pytest.approx(expected, rel=1e-9)
    assert expected > 1e-4


@pytest.mark.parametrize("form", ["diagonal", "product"])
def test_classes_that_do_not_compete_are_left_out(form):
    h, y, domain, weight = rows_of(40)
    compete = (0, 2, 3)
    value, _ = asked(HeadAlignment(0.3, 0.7, form), h, y, domain, weight, seen=compete)
    some = y != 1
    expected = twin.head_alignment(
        weight, h[some], y[some].tolist(), domain[some].tolist(), list(compete), 0.7, 0.3, form
    )
    assert float(value.detach()) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("form", ["diagonal", "product"])
def test_moments_of_each_domain_are_those_of_autograd(form):
    h, y, domain, weight = rows_of()
    logits = h @ weight[:, :-1].T + weight[:, -1]
    member = torch.nn.functional.one_hot(domain, 4).double()
    g, v, count = head_moments(logits, h, y, member, form)
    assert count.tolist() == [8, 8, 8, 0] and not bool(g[3].any()) and not bool(v[3].any())
    for e in range(3):
        i = domain == e
        twins = twin.domain_moments(weight, h[i], y[i].tolist(), list(range(K)), form)
        assert torch.allclose(g[e], twins[0]) and torch.allclose(v[e], twins[1])


def test_the_diagonal_is_what_random_probes_estimate():
    """Hutchinson's estimate is unbiased, with the variance sum_{m != j} H_jm^2 of an entry."""
    h, y, _, weight = rows_of(12)
    H = twin._hessian(weight, h, y.tolist(), list(range(K))).reshape(weight.numel(), -1)
    member = torch.ones(12, 1).double()
    _, v, _ = head_moments(h @ weight[:, :-1].T + weight[:, -1], h, y, member)
    signs = (
        torch.randint(0, 2, (4000, len(H)), generator=torch.Generator().manual_seed(1)) * 2.0 - 1
    )
    probes = signs.double() * (signs.double() @ H)
    variance = H.square().sum(1) - H.diagonal().square()
    error = (probes.mean(0) - v[0].flatten()).abs() / (variance / len(probes)).sqrt()
    assert float(error.max()) < 4
    assert torch.allclose(probes.var(0), variance, rtol=0.15)


@pytest.mark.parametrize("form", ["diagonal", "product"])
def test_equal_domains_cost_nothing_and_one_domain_neither(form):
    h, y, _, weight = rows_of(10)
    term = HeadAlignment(1.0, 1.0, form)
    twice = torch.arange(2).repeat_interleave(10)
    value, _ = asked(term, torch.cat([h, h]), torch.cat([y, y]), twice, weight)
    assert value.item() < 1e-20
    value, leaf = asked(term, h, y, torch.zeros(10).long(), weight)
    value.backward()
    assert value.item() == 0 and not bool(leaf.grad.any())


@pytest.mark.parametrize("form", ["diagonal", "product"])
def test_the_gradient_leaves_the_mean_where_it_is(form):
    """With g and v held, by differences of the value with the mean of the unmoved rows."""
    h, y, domain, weight = rows_of(12, 2)
    member = torch.nn.functional.one_hot(domain, 2).double()

    def moments(x):
        return head_moments(x @ weight[:, :-1].T + weight[:, -1], x, y, member, form)

    g, v, _ = moments(h)
    from holdfast.anchor.alignment import mean_product

    logits = h @ weight[:, :-1].T + weight[:, -1]
    middle = v.mean(0) if form == "diagonal" else mean_product(logits, h, member, g.mean(0))

    def held(x):
        now, curve, _ = moments(x)
        gaps = 0.3 * (now - g.mean(0)).square().sum() + 0.7 * (curve - middle).square().sum()
        return gaps / 2

    value, leaf = asked(HeadAlignment(0.3, 0.7, form), h, y, domain, weight)
    value.backward()
    free = h.clone().requires_grad_()
    held(free).backward()
    assert torch.allclose(leaf.grad, free.grad) and bool(leaf.grad.any())


def test_past_domains_are_stored_and_the_step_is_drawn_to_them():
    stream = make_domains(small_source(each=6), "rotated:0,40,80")
    bench = Bench(16, stream)
    term = HeadAlignment(0.3, 0.7)
    term.begin(bench.past, stream[0])
    term.consolidate(bench.past, stream[0])
    rows = stream[0].train
    head = bench.past.head
    h = bench.past(rows.x.float() / 255).features.detach().double()
    weight = torch.cat([head.weight, head.bias[:, None]], 1).detach().double()
    g, v = twin.domain_moments(weight, h, rows.y.tolist(), list(range(6)), "diagonal")
    assert torch.allclose(term.past[0][0].double(), g, atol=1e-6)
    assert torch.allclose(term.past[0][1].double(), v, atol=1e-5)
    term.begin(bench.learner, stream[1])
    step = bench.step()
    value = term(step).item()
    out, y = step["batch"].out, step["batch"].rows.y.tolist()
    head = bench.learner.head
    weight = torch.cat([head.weight, head.bias[:, None]], 1).detach().double()
    now = twin.domain_moments(weight, out.features.detach().double(), y, list(range(6)), "diagonal")
    expected = 0.3 * (now[0] - g).square().sum() + 0.7 * (now[1] - v).square().sum()
    assert value == pytest.approx(float(expected), rel=1e-3)
    assert HeadAlignment(0.3, 0.7, stored=False)(bench.step()).item() == 0


def test_mixed_domains_store_nothing():
    stream = make_domains(small_source(each=12), "rotated:0,60:mix=yes", tasks=3)
    bench, term = Bench(16, stream), HeadAlignment(0.3, 0.7)
    term.begin(bench.past, stream[0])
    term.consolidate(bench.past, stream[0])
    term.begin(bench.learner, stream[1])
    assert term.past == {} and term.columns == 2 and term(bench.step()).item() > 0


@pytest.mark.parametrize("text", ["rotated:0,30,60", "corrupted:clean,haze:mix=yes"])
@pytest.mark.parametrize("form", ["diagonal", "product"])
def test_the_laws_of_a_term(text, form):
    stream = make_domains(small_source(each=8), text, tasks=3 if "mix" in text else 0)
    check_term(HeadAlignment(0.1, 0.2, form), stream=stream)


def test_the_parts_have_their_settings():
    term = hessian_alignment(0.5, 0.25, "product", stored=False)
    assert (term.hessian, term.gradient, term.form, term.stored) == (0.5, 0.25, "product", False)
    term = head_alignment(0.5)
    assert (term.hessian, term.gradient, term.stored) == (0.0, 0.5, True)
    from dataclasses import replace

    with pytest.raises(ConfigError, match="no term of this method trains a head"):
        replace(make("fnc2_strict"), anchors=[term])


def test_domains_without_a_common_class_are_refused():
    term, stream = HeadAlignment(), small_stream(each=4)
    bench = Bench()
    term.begin(bench.learner, stream[0])
    term.consolidate(bench.learner, stream[0])
    with pytest.raises(ConfigError, match="task 2 shares no class with the tasks before it"):
        term.begin(bench.learner, stream[1])
    from dataclasses import replace

    task = stream[0]
    column = {"domain": task.train.y}
    apart = replace(task, train=replace(task.train, extra=column))
    with pytest.raises(ConfigError, match="domains 0 and 1 of task 1 share no class"):
        HeadAlignment().begin(bench.learner, apart)
    with pytest.raises(ConfigError, match="at least 0"):
        HeadAlignment(-1.0)
    with pytest.raises(ConfigError, match="form of the curvature"):
        unchecked(HeadAlignment.__init__)(HeadAlignment(), form="trace")
