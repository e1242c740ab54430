"""Leverage: scores, shares, draws whose sums have their expectation, and the memory of them."""

import pytest
import torch
from torch.testing import assert_close

from clouds import normal
from holdfast.core.errors import ConfigError
from holdfast.core.rows import row_weights
from holdfast.memory import (
    ClassBalanced,
    WeighedMemory,
    by_leverage,
    by_priority,
    leverage_scores,
    leverage_shares,
    ridge_level,
    with_replacement,
)
from holdfast.memory.leverage import priority_weights
from holdfast.stream.task import Task
from holdfast.testing import check_memory
from reference_heads import ridge_leverage


def chance(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("level", [0.3, 4.0])
def test_scores_are_those_of_the_twin(level):
    a = normal(0, 9, 4)
    assert_close(leverage_scores(a, level).tolist(), ridge_leverage(a.tolist(), level))


def test_scores_sum_to_the_rank_and_a_repeated_row_shares_its_own():
    a = normal(1, 9, 4)
    a[:, 3] = a[:, 0] + a[:, 1]
    tau = leverage_scores(a)
    assert float(tau.sum()) == pytest.approx(3)
    again = leverage_scores(torch.cat([a, a[:1]]))
    assert_close(again[[0, 9]], (tau[0] / (1 + tau[0])).expand(2))


@pytest.mark.parametrize("dimension", [1, 2.5, 3.9])
def test_the_level_has_the_dimension_that_was_asked_for(dimension):
    a = normal(2, 12, 4)
    level = ridge_level(a, dimension)
    assert level > 0
    assert float(leverage_scores(a, level).sum()) == pytest.approx(dimension)
    assert ridge_level(a, 4) == 0.0


def test_orthonormal_rows_have_equal_shares_and_roots_are_flatter():
    rows = torch.linalg.qr(normal(3, 6, 6))[0]
    assert_close(leverage_shares(rows, 3), torch.full((6,), 1 / 6).double())
    a = normal(4, 30, 5)
    plain, root = leverage_shares(a, 4), leverage_shares(a, 4, root=True)
    assert_close(root, plain.sqrt() / plain.sqrt().sum())
    assert float(root.max()) < float(plain.max()) and float(plain.sum()) == pytest.approx(1)


@pytest.mark.parametrize("draw", [with_replacement, by_priority])
def test_weighed_gram_matrices_average_to_the_whole(draw):
    a = normal(5, 25, 3) * torch.linspace(0.3, 2, 25)[:, None]
    shares, total, generator = leverage_shares(a, 6), torch.zeros(3, 3).double(), chance()
    for _ in range(3000):
        drawn = draw(shares, 6, generator)
        rows = a[drawn.place] * drawn.weight.sqrt()[:, None]
        total += rows.T @ rows / 3000
    assert_close(total, a.T @ a, rtol=0.05, atol=0.05 * float((a.T @ a).diagonal().mean()))


def test_no_row_is_drawn_twice_by_priority_and_a_prefix_is_a_smaller_draw():
    shares = leverage_shares(normal(6, 20, 4), 8)
    large, small = by_priority(shares, 8, chance(1)), by_priority(shares, 3, chance(1))
    assert len(set(large.place.tolist())) == 8
    assert torch.equal(small.place, large.place[:3])
    again = priority_weights(shares[large.place[:3]], large.priority[3:])
    assert_close(again, small.weight)
    assert torch.equal(by_leverage(normal(6, 20, 4), 8, chance(1)), large.place)


@pytest.mark.parametrize("keep", [20, 50])
def test_where_there_is_room_all_rows_are_kept_and_stand_for_themselves(keep):
    drawn = by_priority(leverage_shares(normal(6, 20, 4), keep), keep, chance())
    assert sorted(drawn.place.tolist()) == list(range(20))
    assert drawn.weight.tolist() == [1.0] * 20


def tasks(table, sizes):
    for t, size in enumerate(sizes):
        rows = table([t] * size, task=t, first=100 * t, x=normal(t, size, 6).float())
        yield Task(t, (t,), rows, rows)


@pytest.mark.parametrize("root", [False, True])
def test_the_memory_weighs_its_rows_anew_when_a_share_shrinks(table, identity, root):
    memory, before = WeighedMemory(12, root=root), []
    for task in tasks(table, (30, 30, 30)):
        memory.consolidate(identity, task, chance(task.index))
        before.append(memory.rows)
    rows = memory.rows
    for t in range(3):
        here = rows.y == t
        weight = rows.extra["weight"][here]
        assert len(weight) == 4 and float(weight.mean()) == pytest.approx(1, abs=1e-5)
        assert float(weight.std()) > 0
        first = before[t]
        stays = first[first.y == t]
        assert torch.equal(rows.key[here], stays.key[:4])
        if t < 2:
            twin = priority_weights(stays.extra["share"][:4], stays.extra["priority"][4:])
            assert_close(weight, twin / twin.mean())
    assert row_weights(rows) is not None


def test_pooled_rows_weigh_beside_new_ones_that_weigh_one(table, identity):
    memory = WeighedMemory(5)
    first, second = tasks(table, (30, 10))
    memory.consolidate(identity, first, chance())
    pooled = memory.pooled(second.train)
    assert pooled.extra.keys() == {"weight"}
    assert pooled.extra["weight"][:10].tolist() == [1.0] * 10
    assert torch.equal(pooled.extra["weight"][10:], memory.rows.extra["weight"])


@pytest.mark.parametrize("select", ["leverage", "root_leverage"])
def test_a_balanced_memory_draws_by_leverage_without_weights(table, identity, select):
    memory = ClassBalanced(6, select=select)
    task = next(tasks(table, (30,)))
    memory.consolidate(identity, task, chance(3))
    features = torch.nn.functional.normalize(task.train.x)
    index = by_leverage(features, 6, chance(3), root=select == "root_leverage")
    assert torch.equal(memory.rows.key, task.train.key[index])
    assert memory.rows.extra == {}


def test_another_selection_is_refused():
    with pytest.raises(ConfigError, match="unknown selection 'levrage': did you mean 'leverage'"):
        ClassBalanced(select="levrage")


@pytest.mark.parametrize(
    "memory",
    [WeighedMemory(15), WeighedMemory(15, "draw", root=True), ClassBalanced(15, select="leverage")],
)
def test_it_obeys_the_laws_of_a_memory(memory):
    check_memory(memory)
