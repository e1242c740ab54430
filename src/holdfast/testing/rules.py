"""The laws of a rule: an anchor that edits the step."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace

import torch

from holdfast.anchor.function import LogitDistillation
from holdfast.anchor.rule import Rule, edited
from holdfast.loss.classify import CrossEntropy
from holdfast.loss.term import Objective
from holdfast.recipes.method import Method
from holdfast.stream.task import Stream
from holdfast.testing.bench import Bench, gradients
from holdfast.testing.compare import (
    copies,
    difference,
    expect,
    keeps_no_image,
    through_disk,
    weights,
)
from holdfast.testing.recipes import check_recipe
from holdfast.testing.streams import small_stream
from holdfast.testing.subject import Subject
from holdfast.testing.terms import LAWS_IN_A_RUN
from holdfast.testing.watched import learned


def check_rule(
    rule: Rule,
    anchors: Sequence[Objective | Rule] | None = None,
    run: bool = True,
    stream: Stream | None = None,
) -> None:
    """Check a rule by itself on a small network, and in a run beside cross-entropy.

    By itself: its hooks keep the names and shapes and stay finite; looking at a step changes no
    weight; `split` changes neither gradient in place; it keeps no image; its state goes through a file
    into a fresh copy that then edits alike; it
    can be pickled and copied. In a run: it resumes, costs no forward pass in a step, and stays finite.

    Args:
        rule: before it has learned anything; copies are used.
        anchors: of the run, where the rule belongs with others; it must be one of them.
        run: whether to check it in a run as well.
        stream: of 3 tasks, for a rule that is of no use on `small_stream`.

    Raises:
        AssertionError: naming the law that does not hold.
    """
    name = type(rule).__name__
    bench = Bench(stream=stream)
    _hooks(_prepared(rule, bench), bench, name)
    if rule.needs_split:
        _split(_prepared(rule, bench), bench, name)
        check_split(Method(CrossEntropy("seen"), [LogitDistillation()], name=f"beside {name}"))
    _state(rule, name, stream)
    if run:
        parts = [rule] if anchors is None else list(anchors)
        method = Method(
            CrossEntropy("seen"), copy.deepcopy(parts), name=f"cross-entropy with {name}"
        )
        check_recipe(Subject(method, stream=stream), LAWS_IN_A_RUN)


class Asks(Rule):
    """Wants the gradients apart, and leaves them as they are."""

    needs_split = True


def check_split(method: Method, within: float = 1e-3) -> None:
    """Check that gradients come apart as they come together: asking for them changes nothing of a run.

    Two backward passes add up otherwise rounded numbers, so weights are compared up to rounding. Without
    anchors there is one pass, and they are the same bit for bit.

    Args:
        method: of which copies run, one of them with a rule that asks and returns what it is given.
        within: how far a weight may be off after the run, in units of its tensor's largest, or of 1.

    Raises:
        AssertionError: naming the weight that differs.
    """
    asking = replace(method, anchors=[*method.anchors, Asks()])
    plain, apart = (
        weights(learned(copy.deepcopy(each), small_stream(each=8)).learner)
        for each in (method, asking)
    )
    alone = not any(isinstance(anchor, Objective) for anchor in method.anchors)
    place = difference(plain, apart, within=0.0 if alone else within)
    expect(not place, f"{method.name} learns otherwise where gradients are asked apart: {place}.")


def _split(rule: Rule, bench: Bench, name: str) -> None:
    """Two gradients in, two of the same names and shapes out."""
    step, learner = bench.step(), bench.learner
    losses = CrossEntropy("seen"), LogitDistillation()
    named = [gradients(loss(bench.step()), learner) for loss in losses]
    nothing = {n: torch.zeros_like(g) for pair in named for n, g in pair.items()}
    task, anchors = (nothing | each for each in named)
    for first, second in ((task, anchors), (task, nothing), (nothing, anchors), (nothing, nothing)):
        before = copy.deepcopy((first, second))
        edits = copy.deepcopy(rule).split(dict(first), dict(second), step)
        place = difference(before, (first, second))
        expect(not place, f"{name}.split changes in place what it is given: {place}.")
        for each in edits:
            expect(each.keys() == task.keys(), f"{name}.split must keep every parameter's name.")
            for n, g in each.items():
                expect(g.shape == task[n].shape, f"{name}.split changes the shape of {n}.")
                expect(bool(g.isfinite().all()), f"{name}.split makes {n} not finite.")


def _prepared(rule: Rule, bench: Bench) -> Rule:
    """A copy that has learned the first task and begun the second."""
    rule, task = copy.deepcopy(rule), bench.stream[0]
    network = copy.deepcopy(bench.past).requires_grad_(True)
    rule.begin(network, task)
    rule.adjust(network, task)
    rule.consolidate(network.eval(), task, None)
    rule.begin(bench.learner, bench.task)
    return rule


def _moved(rule: Rule, bench: Bench) -> dict[str, torch.Tensor]:
    """The weights after one step of SGD under a copy of the rule."""
    rule, learner = copy.deepcopy(rule), bench.learner
    kept = weights(learner)
    step = bench.step()
    optimizer = torch.optim.SGD(learner.parameters(), lr=step.lr)
    CrossEntropy("seen")(step).backward()
    with edited([rule], learner, step):
        optimizer.step()
    optimizer.zero_grad()
    result = {name: p.detach().clone() for name, p in learner.named_parameters()}
    learner.load_state_dict(kept)
    return result


def _hooks(rule: Rule, bench: Bench, name: str) -> None:
    step, learner = bench.step(), bench.learner
    CrossEntropy("seen")(step).backward()
    named = {
        n: p.grad.detach().clone() for n, p in learner.named_parameters() if p.grad is not None
    }
    learner.zero_grad()
    before = {n: p.detach().clone() for n, p in learner.named_parameters()}
    delta = {n: -step.lr * g for n, g in named.items()}
    rule.observe({n: g.clone() for n, g in named.items()}, dict(delta), step)
    place = difference(before, dict(learner.named_parameters()))
    expect(not place, f"{name} changes a weight while it looks at a step: {place}.")
    rule = copy.deepcopy(rule)
    for hook, asked in (("gradient", named), ("update", delta)):
        edits = getattr(rule, hook)({n: g.clone() for n, g in asked.items()}, step)
        expect(edits.keys() == asked.keys(), f"{name}.{hook} must keep every parameter's name.")
        for n, g in asked.items():
            expect(edits[n].shape == g.shape, f"{name}.{hook} changes the shape of {n}.")
            expect(bool(edits[n].isfinite().all()), f"{name}.{hook} makes {n} not finite.")


def _state(rule: Rule, name: str, stream: Stream | None) -> None:
    bench = Bench(stream=stream)
    ready = _prepared(rule, bench)
    _ = _moved(ready, bench)
    ready.adjust(bench.learner, bench.task)
    ready.consolidate(bench.learner.eval(), bench.task, bench.past)
    bench.learner.train()
    for task in (bench.stream[0], bench.task):
        keeps_no_image({f"the rule {name}": ready}, task.train)
    expected = _moved(ready, bench)
    fresh = copy.deepcopy(rule)
    fresh.load_state_dict(through_disk(dict(ready.state_dict()), name))
    for words, twin in [("its state in a fresh copy", fresh), *copies(ready, name)]:
        place = difference(expected, _moved(twin, bench))
        expect(not place, f"{name} edits a step otherwise after {words}: {place}.")
        forward = copy.deepcopy(bench.learner), copy.deepcopy(bench.learner)
        for each, network in zip((ready, twin), forward):
            copy.deepcopy(each).adjust(network, bench.stream[2])
        place = difference(weights(forward[0]), weights(forward[1]))
        expect(not place, f"{name} adjusts the network otherwise after {words}: {place}.")
