"""Statistics as if rows or classes had never come, or were one: against those of the rows themselves."""

import itertools
import logging
import math

import pytest
import torch
from torch.testing import assert_close

from holdfast.core.errors import ConfigError, DataError
from holdfast.statistics.class_statistics import Statistics
from holdfast.statistics.roots import downdated, triangular

EXACT = ["none", "shared", "full", "diagonal", "factor"]
BY_CLASS = ["none", "full", "diagonal", "low_rank", "factor"]
TIGHT = {"rtol": 1e-10, "atol": 1e-10}
SIZES = (5, 1, 9, 4)


def rows(sizes=SIZES, seed=0, wide=6):
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    mix = torch.randn(len(sizes), wide, wide, generator=generator, dtype=torch.float64)
    x = torch.randn(len(y), wide, generator=generator, dtype=torch.float64)
    order = torch.randperm(len(y), generator=generator)
    return (torch.einsum("nf,nfg->ng", x, mix[y]) + 3 * y[:, None])[order], y[order]


def of(structure, x, y, classes=0):
    return Statistics.empty(x.shape[1], structure, 6).add(x, y, classes)


def twin(x, y, k):
    """Count, mean and scatter of a class by plain loops; (0, None, zeros) for none."""
    mine = [row for row, label in zip(x.tolist(), y.tolist()) if label == k]
    f, n = x.shape[1], len(mine)
    mean = [math.fsum(row[i] for row in mine) / max(n, 1) for i in range(f)]
    scatter = [
        [math.fsum((r[i] - mean[i]) * (r[j] - mean[j]) for r in mine) for j in range(f)]
        for i in range(f)
    ]
    return n, torch.tensor(mean, dtype=torch.float64), torch.tensor(scatter, dtype=torch.float64)


def check(statistics, structure, x, y, classes):
    """Equal to the twin's, class by class, or pooled where no more is kept."""
    twins = [twin(x, y, k) for k in range(classes)]
    assert statistics.count.tolist() == [n for n, _, _ in twins]
    for k, (_, mean, _) in enumerate(twins):
        assert_close(statistics.mean[k], mean, **TIGHT)
    total = torch.stack([scatter for _, _, scatter in twins]).sum(0)
    if structure == "none":
        return
    expected = total.diagonal().diag() if structure == "diagonal" else total
    assert_close(statistics.scatter.pooled(), expected, **TIGHT)
    if structure in ("full", "factor"):
        for k, (_, _, scatter) in enumerate(twins):
            assert_close(statistics.scatter.matrix(k), scatter, **TIGHT)


@pytest.mark.parametrize("structure", EXACT)
def test_rows_added_and_removed_were_never_there(structure):
    x, y = rows()
    gone = torch.zeros(len(y), dtype=torch.bool)
    gone[::3] = True
    check(of(structure, x, y, 4).remove(x[gone], y[gone]), structure, x[~gone], y[~gone], 4)


@pytest.mark.parametrize("structure", EXACT)
def test_removals_in_any_order_and_portions_are_one(structure):
    x, y = rows()
    portions = torch.arange(len(y)) % 4  # the last stays
    for order in itertools.permutations(range(3)):
        found = of(structure, x, y, 4)
        for part in order:
            found = found.remove(x[portions == part], y[portions == part])
        check(found, structure, x[portions == 3], y[portions == 3], 4)


@pytest.mark.parametrize("structure", EXACT)
def test_a_class_whose_rows_all_go_is_as_if_never_met(structure):
    x, y = rows()
    for k in range(4):
        mine = y == k
        found = of(structure, x, y, 4).remove(x[mine], y[mine])
        check(found, structure, x[~mine], y[~mine], 4)
        again = found.add(x[mine], y[mine])
        check(again, structure, x, y, 4)


@pytest.mark.parametrize("structure", [*EXACT, "low_rank"])
def test_a_class_removed_is_as_if_never_met(structure):
    x, y = rows()
    for k in range(4):
        mine = y == k
        rest = None if structure != "shared" else x[mine]
        found = of(structure, x, y, 4).remove_class(k, rest)
        check(found, structure, x[~mine], y[~mine], 4)


@pytest.mark.parametrize("structure", BY_CLASS)
def test_classes_selected_are_those_classes_alone(structure):
    x, y = rows()
    found = of(structure, x, y, 4).select([2, 0])
    kept = (y == 2) | (y == 0)
    check(found, structure, x[kept], (y[kept] == 0).long(), 2)


@pytest.mark.parametrize("structure", [*EXACT, "low_rank"])
def test_a_permutation_renames_classes(structure):
    x, y = rows()
    order = [3, 1, 0, 2]
    place = torch.tensor([order.index(k) for k in range(4)])
    found = of(structure, x, y, 4).select(order)
    check(found, structure, x, place[y], 4)
    for name, value in found.select(place.tolist()).state().items():
        assert torch.equal(value, of(structure, x, y, 4).state()[name])  # back, to the bit


@pytest.mark.parametrize("structure", EXACT)
def test_classes_that_share_a_place_are_one(structure):
    x, y = rows()
    places = [0, 1, 0, 1]
    found = of(structure, x, y, 4).regroup(places, 2)
    check(found, structure, x, torch.tensor(places)[y], 2)


@pytest.mark.parametrize("structure", EXACT)
def test_two_tables_joined_by_name_are_one_of_all_rows_in_any_order(structure):
    x, y = rows((5, 1, 9, 4, 7))
    first = torch.arange(len(y)) % 2 == 0
    names = [torch.where(first, y, -1), torch.where(first, -1, y)]
    a_classes, b_classes = [0, 1, 2, 3], [4, 2, 0]  # what each knows, in its own order
    a = torch.isin(names[0], torch.tensor(a_classes))
    b = torch.isin(names[1], torch.tensor(b_classes))
    one = of(structure, x[a], y[a], 4)
    other = of(structure, x[b], torch.tensor([b_classes.index(k) for k in y[b].tolist()]), 3)
    check(one.join(other, b_classes), structure, x[a | b], y[a | b], 5)
    back = other.join(one, [2, 3, 1, 4])  # the other's classes first: 4, 2, 0, then 1, 3
    order = [4, 2, 0, 1, 3]
    renamed = torch.tensor([order.index(k) for k in range(5)])
    check(back, structure, x[a | b], renamed[y[a | b]], 5)


def test_merging_is_associative_and_commutative():
    x, y = rows((6, 6, 6))
    parts = [of("factor", x[i::3], y[i::3], 3) for i in range(3)]
    for a, b, c in itertools.permutations(parts):
        for found in (a.merge(b).merge(c), a.merge(b.merge(c))):
            check(found, "factor", x, y, 3)


def test_a_factor_is_triangular_and_has_no_more_rows_than_it_needs():
    x, y = rows((4, 1, 30))
    found = of("factor", x, y, 3).scatter
    assert found.sizes.tolist() == [3, 0, 6]  # deviations of n rows span n - 1 directions
    for piece in found.pieces:
        assert_close(piece.triu(), piece)
        assert bool((piece.diagonal() >= 0).all())
    twice = torch.cat([x[y == 2], x[y == 2]])
    assert len(triangular(twice - twice.mean(0))) == 6


def test_a_factor_less_rows_is_the_factor_of_the_others():
    x = torch.randn(12, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    assert_close(downdated(triangular(x), x[8:], 1e-10), triangular(x[:8]), **TIGHT)
    with pytest.raises(DataError, match="not the rows that were learned"):
        downdated(triangular(x[:3]), x[3:4], 1e-10)


# what is refused


def test_rows_that_were_not_learned_are_refused():
    x, y = rows()
    for structure in ("shared", "full", "diagonal", "factor"):
        with pytest.raises(DataError, match="not the rows that were learned"):
            of(structure, x, y, 4).remove(100 * x[:4], y[:4])
    with pytest.raises(DataError, match="class 1 has 1 rows, so 2 cannot be removed"):
        of("full", x, y, 4).remove(x[:2], torch.tensor([1, 1]))
    with pytest.raises(DataError, match="class 7 was never learned"):
        of("full", x, y, 4).remove(x[:1], torch.tensor([7]))


def test_only_the_rows_of_a_class_take_it_out_of_a_shared_scatter():
    x, y = rows()
    statistics, mine = of("shared", x, y, 4), y == 2
    with pytest.raises(ConfigError, match="give all of its rows"):
        statistics.remove_class(2)
    with pytest.raises(DataError, match="learned from 9 rows, and 8 were brought"):
        statistics.remove_class(2, x[mine][1:])
    with pytest.raises(DataError, match="another mean"):
        statistics.remove_class(2, x[mine] + 1e-4)
    with pytest.raises(ConfigError, match="a choice of them has none"):
        statistics.select([0, 1])


def test_a_low_rank_scatter_gives_no_rows_back():
    x, y = rows()
    with pytest.raises(ConfigError, match="rows cannot be taken out of a class"):
        of("low_rank", x, y, 4).remove(x[:1], y[:1])


def test_rounding_below_zero_is_set_to_zero_and_no_more():
    x, y = rows((3, 30), wide=8)
    mine = y == 0
    noisy = x[mine] + 1e-9 * torch.randn(3, 8, dtype=torch.float64)
    statistics = of("shared", x[mine], y[mine], 1)
    with pytest.raises(DataError, match="not the rows"):
        statistics.remove(noisy, y[mine])
    values = torch.linalg.eigvalsh(statistics.remove(noisy, y[mine], 1e-6).scatter.pooled())
    assert float(values.min()) > -1e-15 and float(values.max()) < 1e-6


@pytest.mark.parametrize("structure", ["shared", "full", "diagonal"])
def test_what_was_set_to_zero_is_logged(structure, caplog):
    x, y = rows((3, 30), wide=8)
    mine = y == 0
    noisy = x[mine] + 1e-8 * (x[mine] - x[mine].mean(0)).sign()  # a little further out
    with caplog.at_level(logging.DEBUG, "holdfast.statistics"):
        of(structure, x[mine], y[mine], 1).remove(noisy, y[mine], 1e-6)
    [line] = caplog.messages
    mass = float(line.split("sum -")[1].split()[0])
    assert 1e-9 < mass < 1e-6 and line.endswith("of the trace) set to 0")
    caplog.clear()
    with caplog.at_level(logging.DEBUG, "holdfast.statistics"):
        of(structure, x, y, 2).remove(x[:1], y[:1])
    assert all(float(m.split("sum -")[1].split()[0]) < 1e-10 for m in caplog.messages)
