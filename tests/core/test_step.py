"""Step, Part, the algebra of objectives, and rules that edit an update."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode

from holdfast.anchor import Rule, WeightAligning, edited
from holdfast.core.errors import ConfigError
from holdfast.core.rows import Rows
from holdfast.core.step import Step
from holdfast.learner import Output
from holdfast.loss import Constant, Linear, Scaled, Sum, Term


class Counted:
    """A linear network that counts how often it is asked, and for how many rows."""

    def __init__(self, seed=0):
        generator = torch.Generator().manual_seed(seed)
        self.weight = torch.randn(4, 4, generator=generator, requires_grad=True)
        self.asked = []

    def __call__(self, x):
        self.asked.append(len(x))
        out = x @ self.weight
        return Output(out, nn.functional.normalize(out, dim=1), out)


def rows(task, seed=0):
    task = torch.as_tensor(task, dtype=torch.long)
    x = torch.randn(len(task), 4, generator=torch.Generator().manual_seed(seed))
    return Rows(x, task % 2, task, torch.arange(len(task)))


class Total(Term):
    """The sum of the logits of a part, times a factor."""

    def __init__(self, on="batch", factor=1.0, needs_past=False, label="total"):
        super().__init__()
        self.on, self.factor, self.needs_past, self.label = on, factor, needs_past, label
        self.calls = 0

    def value(self, part, step):
        self.calls += 1
        logits = part.past.logits if self.needs_past else part.out.logits
        return self.factor * logits.sum()


@pytest.fixture
def learner():
    return Counted(0)


@pytest.fixture
def past():
    return Counted(1)


@pytest.fixture
def step(learner, past):
    """Five rows, of which the current task (1) brought three, and a draw of four."""
    parts = {"batch": rows([1, 0, 1, 1, 0]), "memory": rows([0, 0, 0, 0], seed=1)}
    return Step(parts, learner, past, 1, (2, 3), (0, 1, 2, 3), epoch=1, epochs=5)


# parts


def test_however_many_terms_ask_a_part_costs_one_forward_of_each_network(step, learner, past):
    terms = [Total(), Total("new"), Total("old"), Total(needs_past=True), Total("new", 1.0, True)]
    for term in (*terms, *terms):
        term(step)
    assert learner.asked == [5] and past.asked == [5]


def test_a_drawn_part_costs_one_more(step, learner, past):
    for term in (Total(), Total("memory"), Total("memory"), Total("memory", 1.0, True)):
        term(step)
    assert learner.asked == [5, 4] and past.asked == [4]


def test_a_part_nobody_asks_costs_nothing(step, learner, past):
    Total("memory")(step)
    assert learner.asked == [4] and past.asked == []


def test_the_mask_may_be_asked_first(step, learner):
    Total("new")(step)
    Total()(step)
    assert learner.asked == [5]


def test_new_and_old_are_the_rows_of_the_batch_by_task(step, learner, past):
    new, old = step["new"], step["old"]
    assert new.rows.key.tolist() == [0, 2, 3] and old.rows.key.tolist() == [1, 4]
    for part, index in ((new, [0, 2, 3]), (old, [1, 4])):
        assert torch.equal(part.rows.x, step["batch"].rows.x[index])
        for name in ("features", "embedding", "logits"):
            whole = getattr(step["batch"].out, name)
            assert torch.equal(getattr(part.out, name), whole[index])
            assert torch.equal(getattr(part.past, name), getattr(step["batch"].past, name)[index])


def test_gradients_reach_the_learner_through_a_mask_and_never_the_past(step, learner, past):
    (Total("old")(step) + Total("new", 1.0, True)(step)).backward()
    assert_close(learner.weight.grad, step["old"].rows.x.sum(0)[:, None].expand(4, 4))
    assert past.weight.grad is None
    assert not step["batch"].past.logits.requires_grad


def test_a_part_that_is_empty_or_unknown_is_none(learner):
    step = Step({"batch": rows([2, 2]), "memory": rows([])}, learner, task=2)
    assert [step.find(name) for name in ("old", "memory", "anything")] == [None] * 3
    assert step.find("new") is not None
    with pytest.raises(KeyError, match="no rows named 'anything'; it has batch, memory"):
        step["anything"]
    with pytest.raises(KeyError, match="no rows named 'old'"):
        step["old"]


def test_a_part_knows_no_past_in_the_first_task(learner):
    step = Step({"batch": rows([0, 0])}, learner)
    assert not step.has_past
    for name in ("batch", "new"):
        with pytest.raises(LookupError):
            _ = step[name].past


def test_old_classes_are_those_that_do_not_come_again(learner):
    step = Step({"batch": rows([1])}, learner, None, 1, (1, 2), (0, 1, 2))
    assert step.old_classes == (0,)


def test_records_keep_the_last_value_without_its_graph(step, learner):
    step.record("loss", learner.weight.sum())
    step.record("loss", 2 * learner.weight.sum())
    assert_close(step.records["loss"], 2 * learner.weight.sum().detach())
    assert not step.records["loss"].requires_grad


# the guard


@pytest.mark.parametrize("on", ["memory", "old", "nothing"])
def test_a_term_of_an_absent_part_is_zero_and_is_not_asked(learner, on):
    step = Step({"batch": rows([0, 0]), "memory": rows([])}, learner)
    term = Total(on)
    assert float(term(step)) == 0.0
    assert term.calls == 0 and learner.asked == [] and step.records == {}


def test_a_term_that_needs_the_past_is_zero_in_the_first_task(learner, past):
    term = Total(needs_past=True)
    assert float(term(Step({"batch": rows([0, 0])}, learner))) == 0.0
    assert term.calls == 0
    assert float(term(Step({"batch": rows([1, 1])}, learner, past, 1))) != 0.0
    assert term.calls == 1


def test_a_term_is_recorded_under_its_label(step):
    value = Total(label="mine")(step)
    assert_close(step.records["mine"], value.detach())


# the algebra

weights = st.floats(0, 8, width=32)


@settings(deadline=None, max_examples=30)
@given(p=weights, q=weights, e=st.integers(0, 4))
def test_expressions_mean_what_they_say(p, q, e):
    step = Step({"batch": rows([0, 0, 0])}, Counted(), epoch=e, epochs=5)
    a, b, alpha = Total(), Total(factor=-3.0), Linear(1, 0)
    at = 1 - e / 4
    A, B = float(a(step).detach()), float(b(step).detach())
    for expression, expected in (
        (a + b, A + B),
        (p * a, p * A),
        (p * (a + q * b), p * (A + q * B)),
        (alpha * a + (1 - alpha) * b, at * A + (1 - at) * B),
        (q * (alpha * a) + b + a, q * at * A + B + A),
    ):
        assert float(expression(step).detach()) == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_an_expression_has_the_gradient_it_should(learner):
    step = Step({"batch": rows([0, 0])}, learner)
    (Total() + 0.5 * Total(factor=3.0))(step).backward()
    assert_close(learner.weight.grad, 2.5 * step["batch"].rows.x.sum(0)[:, None].expand(4, 4))


def test_an_expression_knows_its_terms_and_leaves_them_as_they_were():
    a, b = Total(), Total("memory")
    whole = 2.0 * (a + Linear() * b)
    assert isinstance(whole, Scaled) and isinstance(a + b, Sum)
    assert whole.terms() == [a, b]
    assert a.terms() == [a]


@pytest.mark.parametrize("zero", [0.0, Constant(0.0)])
def test_what_weighs_nothing_is_not_computed(step, learner, zero):
    term = Total()
    assert float((zero * term)(step)) == 0.0
    assert term.calls == 0 and learner.asked == []


def test_a_schedule_is_logged_once_under_its_name(step):
    alpha = Linear(1, 0)
    (alpha * Total(label="soft") + (1 - alpha) * Total(label="hard"))(step)
    assert step.records.keys() == {"alpha", "soft", "hard"}
    assert float(step.records["alpha"]) == 0.75


@pytest.mark.parametrize("weight", [-1, -1e-9, float("nan")])
def test_a_negative_weight_is_refused(weight):
    with pytest.raises(ConfigError, match="weight must be at least 0"):
        weight * Total()


# rules


class Edit(Rule):
    """Rules made of two functions of one tensor."""

    def __init__(self, gradient=lambda g: g, update=lambda d: d):
        super().__init__()
        self.on_gradient, self.on_update = gradient, update

    def gradient(self, gradient, step):
        return {name: self.on_gradient(g) for name, g in gradient.items()}

    def update(self, delta, step):
        return {name: self.on_update(d) for name, d in delta.items()}


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 3))


def trained(model, rules, steps=5, weight_decay=0.1, lr=0.1, kind=torch.optim.SGD):
    """A few steps of momentum and weight decay on a batch that stays the same."""
    extra = {"momentum": 0.9} if kind is torch.optim.SGD else {}
    optimizer = kind(model.parameters(), lr=lr, weight_decay=weight_decay, **extra)
    x = torch.randn(8, 6, generator=torch.Generator().manual_seed(5))
    step = Step({"batch": rows([0] * 8)}, Counted())
    for _ in range(steps):
        optimizer.zero_grad()
        model(x).square().mean().backward()
        with edited(rules, model, step):
            optimizer.step()
    return model


def assert_same_bits(a, b):
    assert all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))


@pytest.mark.parametrize("rules", [[Rule()], [Rule(), Edit()], [Edit(update=torch.clone)]])
@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.AdamW])
def test_an_identity_leaves_every_bit(rules, kind):
    assert_same_bits(trained(network(), [], kind=kind), trained(network(), rules, kind=kind))


def test_an_edited_gradient_is_what_the_optimiser_is_given():
    plain = {"steps": 1, "weight_decay": 0.0}
    twice = trained(network(), [Edit(gradient=lambda g: 2 * g)], lr=0.1, **plain)
    assert_same_bits(twice, trained(network(), [], lr=0.2, **plain))


def test_an_edited_update_is_what_the_weights_move_by():
    start = list(network().parameters())
    whole = list(trained(network(), [], steps=1).parameters())
    half = list(trained(network(), [Edit(update=lambda d: d / 2)], steps=1).parameters())
    for a, b, c in zip(start, whole, half):
        assert_close(c - a, (b - a) / 2)
        assert not torch.equal(a, b)


@pytest.mark.parametrize("in_place", [False, True])
def test_an_update_edited_to_nothing_stops_the_weights(in_place):
    stop = torch.Tensor.zero_ if in_place else torch.zeros_like
    model = trained(network(), [Edit(update=stop)])
    for p, q in zip(model.parameters(), network().parameters()):
        assert_close(p, q)


def test_rules_apply_in_their_order():
    first, second = lambda t: t + 1.0, lambda t: t * 3.0
    for name in ("gradient", "update"):
        both = [Edit(**{name: first}), Edit(**{name: second})]
        together = trained(network(), both, steps=1)
        one = trained(network(), [Edit(**{name: lambda t: (t + 1.0) * 3.0})], steps=1)
        other = trained(network(), both[::-1], steps=1)
        for p, q, r in zip(together.parameters(), one.parameters(), other.parameters()):
            assert_close(p, q)
            assert float((p - r).abs().max().detach()) > 1e-2


def test_rules_see_only_weights_that_move():
    model = network()
    model[0].requires_grad_(False)
    seen = set()

    class Look(Rule):
        def gradient(self, gradient, step):
            seen.update(gradient)
            return gradient

        def update(self, delta, step):
            seen.update(delta)
            return delta

    trained(model, [Look()])
    assert seen == {"2.weight", "2.bias"}
    assert torch.equal(model[0].weight, network()[0].weight)


PROTECTED = torch.linalg.qr(torch.randn(6, 2, generator=torch.Generator().manual_seed(9)))[0]


def free(t):
    """The first layer's weight without what it does to the protected inputs."""
    return t - t @ PROTECTED @ PROTECTED.T if t.shape == (4, 6) else t


def movement(rules, kind=torch.optim.SGD):
    """How far the first layer moved: on protected inputs, and in all."""
    before, after = network()[0].weight, trained(network(), rules, 40, kind=kind)[0].weight
    moved = (after - before).detach()
    return float((moved @ PROTECTED).abs().max()), float(moved.abs().max())


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.AdamW])
def test_a_projected_update_does_not_move_what_is_protected(kind):
    """Under momentum, adaptive steps and weight decay; old inputs' outputs stay (THEORY 8)."""
    protected, total = movement([Edit(update=free)], kind)
    assert protected < 1e-5 and total > 0.05


def test_a_projected_gradient_leaks_under_weight_decay():
    protected, _ = movement([Edit(gradient=free)])
    assert protected > 1e-2


# what a rule costs


class Operations(TorchDispatchMode):
    """Notes every operation on tensors."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        self.names.append(operation.overloadpacket.__name__)
        return operation(*args, **(kwargs or {}))


class LookRule(Rule):
    def __init__(self):
        super().__init__()
        self.looked = []

    def observe(self, gradient, move, step):
        self.looked.append((dict(gradient), dict(move)))


@pytest.mark.parametrize("rules", [[], [Rule()], [WeightAligning(), WeightAligning()]])
def test_rules_that_do_nothing_to_a_step_cost_nothing(rules):
    model = network()
    model(torch.ones(2, 6)).sum().backward()
    step = Step({"batch": rows([0])}, Counted())
    with Operations() as operations, edited(rules, model, step):
        pass
    assert operations.names == []


@pytest.mark.parametrize("rule, clones", [(Edit(), 4), (LookRule(), 8)])
def test_weights_are_copied_where_a_rule_asks(rule, clones):
    model = network()
    model(torch.ones(2, 6)).sum().backward()
    step = Step({"batch": rows([0])}, Counted())
    with Operations() as operations, edited([rule], model, step):
        pass
    assert operations.names.count("clone") == clones


def test_an_observer_sees_what_no_rule_has_edited():
    """Whatever the order: the loss's gradient, and the optimiser's own move."""
    for place in (0, 1):
        look, rules = LookRule(), [Edit(torch.Tensor.zero_, torch.Tensor.zero_)]
        rules.insert(place, look)
        trained(network(), rules, steps=1, weight_decay=0.1)
        ((gradient, move),) = look.looked
        plain = network()
        x = torch.randn(8, 6, generator=torch.Generator().manual_seed(5))
        plain(x).square().mean().backward()
        for name, p in plain.named_parameters():
            assert_close(gradient[name], p.grad)
            assert_close(move[name], 0 * p)


def test_observing_leaves_every_bit():
    assert_same_bits(trained(network(), []), trained(network(), [LookRule()]))


def test_some_work_is_done_once_a_step_however_often_a_loss_is_asked(step):
    calls = []

    def work():
        calls.append(1)
        return len(calls)

    one, other = object(), object()
    assert [step.once(one, work), step.once(one, work), step.once(other, work)] == [1, 1, 2]
    assert step.anew().once(one, work) == 1  # the same update, asked again
    assert step["batch"].inputs() is step["batch"].rows.x
    assert step["batch"].anew().out is not step["batch"].out
