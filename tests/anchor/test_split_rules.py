"""Rules on the gradients of task and anchors: one without its part along the other, and a gate by signs."""

import pytest
import torch
from torch.testing import assert_close

import reference_subspace as reference
from holdfast.anchor import Gate, LogitDistillation, Orthogonal
from holdfast.anchor.gate import passing
from holdfast.anchor.orthogonal import inner, off
from holdfast.core.errors import ConfigError
from holdfast.loss import CrossEntropy
from holdfast.memory import Protocol, Reservoir
from holdfast.recipes.method import Method
from holdfast.testing import check_rule, small_stream
from holdfast.testing.bench import Bench
from holdfast.testing.compare import difference, weights
from holdfast.testing.watched import QUICK, learned

STEP = Bench().step()
CASES = [(keep, when) for keep in ("anchor", "task", "neither") for when in ("always", "conflict")]


def pair(seed, sign=0.0):
    """Two gradients of two weights; with a sign, their inner product has it."""
    chance = torch.Generator().manual_seed(seed)
    shapes = {"a": (3, 2), "b": (4,)}
    task, anchor = (
        {n: torch.randn(s, generator=chance).double() for n, s in shapes.items()} for _ in range(2)
    )
    if sign and float(inner(task, anchor)) * sign < 0:
        anchor = {n: -g for n, g in anchor.items()}
    return task, anchor


def flat(named):
    return torch.cat([g.flatten() for g in named.values()])


def joined(rule, task, anchors):
    a, b = rule.split(task, anchors, STEP)
    return flat(a) + flat(b)


@pytest.mark.parametrize("sign", [-1.0, 1.0])
@pytest.mark.parametrize("keep, when", CASES)
def test_the_step_is_its_twin(keep, when, sign):
    task, anchor = pair(1, sign)
    expected = reference.orthogonal(flat(task).tolist(), flat(anchor).tolist(), keep, when, add=0.7)
    result = joined(Orthogonal(keep, when, 0.7), task, anchor)
    assert_close(result, torch.tensor(expected).double())


def test_off_leaves_nothing_along():
    task, anchor = pair(2)
    assert abs(float(inner(off(task, anchor), anchor))) < 1e-12
    nothing = {n: torch.zeros_like(g) for n, g in task.items()}
    assert not difference(off(task, nothing), task)
    assert_close(off(task, task), nothing, atol=1e-12, rtol=0)


@pytest.mark.parametrize("keep", ["anchor", "task", "neither"])
def test_without_a_conflict_it_is_the_plain_sum_bit_for_bit(keep):
    task, anchor = pair(3, 1.0)
    assert torch.equal(joined(Orthogonal(keep), task, anchor), flat(task) + flat(anchor))
    assert not torch.equal(
        joined(Orthogonal(keep), *pair(3, -1.0)), sum(flat(g) for g in pair(3, -1.0))
    )


def test_orthogonal_gradients_are_added():
    task, anchor = pair(4)
    task = off(task, anchor)
    for keep, when in CASES:
        assert_close(joined(Orthogonal(keep, when), task, anchor), flat(task) + flat(anchor))


def test_a_task_against_the_anchor_moves_nothing_of_it():
    """Task = -anchor: what is left is add times the anchor."""
    _, anchor = pair(5)
    task = {n: -g for n, g in anchor.items()}
    assert_close(joined(Orthogonal(add=0.3), task, anchor), 0.3 * flat(anchor))


def test_a_gem_never_raises_the_anchors_loss_to_first_order():
    """add=0: its inequality, and the nearest step that has it."""
    for seed in range(6):
        task, anchor = pair(seed)
        step = joined(Orthogonal(add=0.0), task, anchor)
        slope = float(step @ flat(anchor))
        assert slope > -1e-12
        plain = float(inner(task, anchor))
        assert torch.equal(step, flat(task)) if plain >= 0 else abs(slope) < 1e-12


def test_a_memorys_loss_is_an_anchor_like_any_other():
    """A-GEM as a method: it differs from fine-tuning in the second task, and in the first it does not."""

    def ends(*anchors):
        method = Method(
            CrossEntropy(), [CrossEntropy(on="memory"), *anchors],
            Reservoir(12, "draw"), protocol=Protocol("buffer", 12),
        )  # fmt: skip
        run = learned(method, small_stream(each=6), QUICK.updated(epochs=1))
        return run, weights(run.learner)

    (run, gem), (_, er) = ends(Orthogonal(add=0.0)), ends()
    assert difference(gem, er, within=1e-3)
    assert run.result.class_il.final > 0


def test_the_cosine_is_recorded():
    step, (task, anchor) = Bench().step(), pair(6)
    Orthogonal().split(task, anchor, step)
    expected = torch.cosine_similarity(flat(task), flat(anchor), dim=0)
    assert_close(step.records["cosine"], expected)


# the gate


NUMBERS = [-3.0, -1e-7, 0.0, 2e-9, 0.5, 4.0]


def test_the_chance_to_pass_is_its_twin():
    for a in NUMBERS:
        for b in NUMBERS:
            p = float(passing(torch.tensor(a).double(), torch.tensor(b).double()))
            assert p == pytest.approx(reference.passing(a, b))


def test_its_chance_is_the_share_of_the_task_where_signs_differ():
    a, b = torch.tensor([2.0, 2.0, 2.0, -3.0]), torch.tensor([0.0, 1.0, -2.0, 1.0])
    assert passing(a, b).tolist() == [1.0, 1.0, 0.5, 0.75]


def test_without_anchors_and_with_l_0_it_is_the_identity():
    task, anchor = pair(7)
    nothing = {n: torch.zeros_like(g) for n, g in task.items()}
    assert not difference(Gate().split(task, nothing, STEP), (task, nothing))
    assert not difference(Gate(l=0.0, add=0.5).split(task, anchor, STEP)[0], task)


def test_in_the_mean_the_task_passes_with_its_chance():
    """THEORY 15.1: over 10^4 draws, each steps's own; and the anchors' part is not drawn."""
    a, b = torch.tensor([1.0, 1.0, -2.0]), torch.tensor([-1.0, 1.0, 0.5])
    rule, many = Gate(l=0.8, add=0.3), torch.ones(1000, 1)
    steps = [rule.split({"w": a * many}, {"w": b * many}, STEP) for _ in range(10)]
    mean = torch.stack([task["w"] for task, _ in steps]).flatten(0, 1).mean(0)
    expected = a * (1 - 0.8 + 0.8 * passing(a, b))
    assert_close(mean, expected, atol=0.03, rtol=0)
    assert all(torch.equal(anchors["w"], 0.3 * b * many) for _, anchors in steps)
    assert len({tuple(task["w"][:, 0].tolist()) for task, _ in steps}) == 10


def test_the_gates_chance_is_of_the_run_and_of_the_place():
    a, b = {"w": torch.ones(100)}, {"w": -torch.ones(100)}
    bench, rules = Bench(), []
    for seed in (0, 0, 1):
        with torch.random.fork_rng([]):
            torch.manual_seed(seed)
            rules.append(Gate())
            rules[-1].begin(bench.learner, bench.task)
    first, again, other = (rule.split(a, b, STEP)[0] for rule in rules)
    assert not difference(first, again) and difference(first, other)
    loaded = Gate()
    loaded.load_state_dict(rules[0].state_dict())  # as an epoch begins
    assert not difference(loaded.split(a, b, STEP)[0], first)


@pytest.mark.parametrize("rule", [Orthogonal("neither", "always", 0.5), Gate(0.7, 0.5)])
def test_the_rules_obey_the_laws(rule):
    check_rule(rule, [LogitDistillation(), rule])


@pytest.mark.parametrize(
    "build, words",
    [
        (lambda: Orthogonal(add=-1.0), "at least 0, not -1.0"),
        (lambda: Gate(l=1.5), "l between 0 and 1"),
        (lambda: Gate(add=-0.5), "add from 0 on"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused(build, words):
    with pytest.raises(ConfigError, match=words):
        build()
