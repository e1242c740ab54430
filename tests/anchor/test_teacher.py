"""Controls of a distillation (THEORY 19.4): a random teacher, and the past network's answers shuffled."""

import pytest
import torch
from torch.testing import assert_close

from holdfast.anchor import LogitDistillation, RelationDistillation, TaughtBy, taught
from holdfast.anchor.function import distillation
from holdfast.anchor.teacher import untrained
from holdfast.core.errors import ConfigError
from holdfast.core.rows import Rows
from holdfast.core.step import Step
from holdfast.learner import Learner
from holdfast.recipes import make
from holdfast.testing.compare import difference
from holdfast.testing.streams import small_stream
from holdfast.train.runner import Run
from holdfast.train.setup import Setup, Training


def learner(seed, classes=4):
    torch.manual_seed(seed)
    return Learner((1, 8, 8), "auto", 4, dim=8, classes=classes)


def step_with(network, past, n=6):
    x = torch.rand(n, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    zero = torch.zeros(n, dtype=torch.long)
    rows = Rows(x, zero + 2, zero + 1, torch.arange(n))
    return Step({"batch": rows}, network, past, 1, (2, 3), (0, 1, 2, 3), learner=network)


def test_the_past_network_is_the_teacher_as_ever():
    anchor = LogitDistillation()
    assert taught(anchor) is anchor and isinstance(taught(anchor, "random"), TaughtBy)
    with pytest.raises(ConfigError, match="teacher"):
        taught(anchor, "rando")
    with pytest.raises(ConfigError, match="teacher"):
        TaughtBy(anchor, "past")


def test_shuffled_answers_are_the_past_networks_for_other_rows():
    network, past = learner(0).eval(), learner(1).eval()
    step = step_with(network, past)
    torch.manual_seed(5)
    places = torch.randperm(6)
    assert places.tolist() != list(range(6))
    twin = distillation(
        past(step["batch"].rows.x).logits[places][:, :2],
        network(step["batch"].rows.x).logits[:, :2],
        3.0,
    )
    torch.manual_seed(5)
    value = taught(LogitDistillation(T=3.0), "shuffled")(step)
    assert_close(value, twin)
    assert not torch.equal(value, LogitDistillation(T=3.0)(step))
    torch.manual_seed(5)
    again = step.taught(lambda part: lambda x: part.past.rows(torch.randperm(6)))[
        "batch"
    ].past.logits
    assert_close(again.sort(0).values, step["batch"].past.logits.sort(0).values)


def test_a_random_teacher_knows_nothing_and_is_the_same_throughout():
    network, past = learner(0), learner(1).eval()
    step = step_with(network, past)
    torch.manual_seed(7)
    anchor = taught(RelationDistillation(0.2, 0.1), "random")
    value = anchor(step)
    teacher = untrained(network, 7)
    inner = step_with(network, teacher)
    assert_close(value, RelationDistillation(0.2, 0.1)(inner))
    torch.manual_seed(8)
    assert_close(anchor(step), value)  # the seed was taken once
    other = taught(RelationDistillation(0.2, 0.1), "random")
    other.load_state_dict(anchor.state_dict())
    assert_close(other(step), value)  # and is kept
    assert difference(untrained(network, 8).state_dict(), teacher.state_dict())
    names = {"backbone", "projector", "head"}
    moved = {
        n.split(".")[0]
        for n, w in teacher.named_parameters()
        if not torch.equal(w, dict(network.named_parameters())[n])
    }
    assert moved == names
    assert not any(p.requires_grad for p in teacher.parameters())


def test_before_there_is_a_past_it_is_as_ever():
    step = step_with(learner(0), None)
    assert float(taught(LogitDistillation(), "random")(step)) == 0


def test_a_random_teacher_of_weight_nothing_is_no_teacher_to_the_bit():
    setup = Setup(training=Training(epochs=1, first_epochs=1, batch=12))
    states = []
    for recipe in ("lwf:weight=0:teacher=random", "lwf:weight=0", "lwf:weight=1:teacher=random"):
        work = Run(make(recipe), small_stream(each=6, tests=2), setup)
        for _ in work.events():
            pass
        states.append(dict(work.learner.state_dict()))
    assert not difference(states[0], states[1])
    assert difference(states[2], states[1])
