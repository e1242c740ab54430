"""Statistics and scatters: sums that grow, merge and move (section 9), against all rows at once."""

import itertools
import math

import pytest
import torch
from torch.testing import assert_close

from holdfast.core.errors import ConfigError
from holdfast.statistics.class_statistics import Statistics
from holdfast.statistics.drift import DriftMap, Translation
from holdfast.statistics.kinds import empty_scatter

STRUCTURES = ["none", "shared", "full", "diagonal", "low_rank", "factor"]
KEEPING = STRUCTURES[1:]


def rows(sizes, seed=0, wide=4):
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    mix = torch.randn(len(sizes), wide, wide, generator=generator, dtype=torch.float64)
    x = torch.randn(len(y), wide, generator=generator, dtype=torch.float64)
    return torch.einsum("nf,nfg->ng", x, mix[y]) + y[:, None], y


def twin(x, y, k):
    """Count, mean and scatter of a class, number by number."""
    mine = [row for row, label in zip(x.tolist(), y.tolist()) if label == k]
    f = len(mine[0])
    mean = [math.fsum(row[i] for row in mine) / len(mine) for i in range(f)]
    full = [
        [math.fsum((r[i] - mean[i]) * (r[j] - mean[j]) for r in mine) for j in range(f)]
        for i in range(f)
    ]
    return len(mine), mean, full


def assert_same(a, b, **tolerance):
    assert a.state().keys() == b.state().keys()
    for name, value in a.state().items():
        if name != "root":  # directions have no sign
            assert_close(b.state()[name], value, **tolerance)
    for k in range(len(a.count)):
        if "root" in a.state():
            assert_close(b.scatter.matrix(k), a.scatter.matrix(k), **tolerance)


def statistics_of(structure, x, y, rank=4):
    return Statistics.empty(x.shape[1], structure, rank).add(x, y)


def test_statistics_are_those_of_plain_loops():
    x, y = rows((5, 1, 9))
    full, shared, diagonal = (statistics_of(s, x, y) for s in ("full", "shared", "diagonal"))
    total = 0.0
    for k in range(3):
        count, mean, matrix = twin(x, y, k)
        assert float(full.count[k]) == count
        assert_close(full.mean[k], torch.tensor(mean, dtype=torch.float64))
        matrix = torch.tensor(matrix, dtype=torch.float64)
        assert_close(full.scatter.matrix(k), matrix)
        assert_close(diagonal.scatter.matrix(k), matrix.diagonal().diag())
        total = total + matrix
    for statistics in (full, shared):
        assert_close(statistics.scatter.pooled(), total)
    assert_close(full.within(), total / (15 - 3))


@pytest.mark.parametrize("structure", STRUCTURES)
def test_portions_in_any_order_give_the_same(structure):
    x, y = rows((5, 1, 9, 4))
    expected = statistics_of(structure, x, y)
    portions = torch.arange(len(y)) % 3
    for order in itertools.permutations(range(3)):
        found = Statistics.empty(4, structure, 4)
        for part in order:
            found = found.add(x[portions == part], y[portions == part], 4)
        assert_same(found, expected)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_classes_may_arrive_in_any_order(structure):
    x, y = rows((5, 1, 9))
    found = Statistics.empty(4, structure, 4)
    for k in (2, 0, 1):
        found = found.add(x[y == k], y[y == k])
        assert len(found.count) == 3  # as many as the largest class
    assert_same(found, statistics_of(structure, x, y))


@pytest.mark.parametrize("structure", KEEPING)
def test_a_linear_map_moves_statistics_as_it_moves_the_rows(structure):
    x, y = rows((50, 8))
    turn = torch.randn(4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    if structure in ("diagonal", "low_rank"):  # exact where the map keeps the structure
        turn = torch.diag(torch.tensor([0.5, 2.0, -1.0, 3.0], dtype=torch.float64))
    drift = DriftMap(turn - torch.eye(4), x.mean(0), torch.ones(4, dtype=torch.float64))
    assert_same(statistics_of(structure, x, y).moved(drift), statistics_of(structure, drift(x), y))


@pytest.mark.parametrize("structure", KEEPING)
def test_a_translation_moves_means_alone(structure):
    x, y = rows((50, 8))
    before = statistics_of(structure, x, y)
    step = torch.tensor([1.0, 2.0, 0.0, -1.0], dtype=torch.float64)
    after = before.moved(Translation(x, step.expand_as(x), 1.0))
    assert_close(after.mean, before.mean + step)
    assert_close(after.scatter.pooled(), before.scatter.pooled())


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_a_low_rank_keeps_its_leading_directions_and_the_trace(rank):
    x, y = rows((40, 3))
    full, low = statistics_of("full", x, y), statistics_of("low_rank", x, y, rank)
    for k in range(2):
        exact, found = full.scatter.matrix(k), low.scatter.matrix(k)
        assert_close(found.trace(), exact.trace())
        values, vectors = torch.linalg.eigh(exact)
        for i in range(4 - rank, 4):
            assert_close(found @ vectors[:, i], values[i] * vectors[:, i])
        rest = values[: 4 - rank].mean()
        assert_close(vectors[:, 0] @ found @ vectors[:, 0], rest)


@pytest.mark.parametrize(
    "structure, floats",
    [("none", 0), ("shared", 16), ("full", 3 * 16), ("diagonal", 3 * 4), ("low_rank", 3 * (2 * 4 + 1)),
     ("factor", (4 + 0 + 4) * 4 + 3)],
)  # fmt: skip
def test_a_structure_holds_as_many_numbers_as_stated(structure, floats):
    x, y = rows((5, 1, 9))
    state = statistics_of(structure, x, y, rank=2).state()
    assert sum(t.numel() for t in state.values()) == 3 * (1 + 4) + floats


@pytest.mark.parametrize("structure", STRUCTURES)
def test_state_goes_into_a_fresh_value(structure):
    x, y = rows((5, 1, 9))
    before = statistics_of(structure, x, y)
    after = Statistics.load(before.state(), Statistics.empty(4, structure, 4))
    for name, value in before.state().items():
        assert torch.equal(after.state()[name], value)
    assert_same(after.add(x, y), before.add(x, y))


def test_what_is_not_kept_cannot_be_asked_for():
    like = torch.zeros(0, dtype=torch.float64)
    with pytest.raises(ConfigError, match="keeps no scatter"):
        empty_scatter("none", 4, 0, like).pooled()
    with pytest.raises(ConfigError, match="one scatter for all classes"):
        empty_scatter("shared", 4, 0, like).matrix(0)
    with pytest.raises(ConfigError, match="rank of at least 1, not 0"):
        empty_scatter("low_rank", 4, 0, like)
    with pytest.raises(ConfigError, match="unknown structure 'ful': did you mean 'full'"):
        Statistics.empty(4, "ful")
