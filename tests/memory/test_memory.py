"""Memories: what is kept, how it comes back, and that state is data."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.core.errors import ConfigError
from holdfast.core.rows import Rows
from holdfast.core.settings import Machine, Network
from holdfast.memory import (
    ClassBalanced,
    Everything,
    Memory,
    NoMemory,
    Reservoir,
    at_random,
    herding,
)
from holdfast.recipes import make
from holdfast.stream.task import Task
from holdfast.train.runner import Run
from holdfast.train.setup import Setup


def chance(seed=0):
    return torch.Generator().manual_seed(seed)


def task_of(rows, index=0):
    return Task(index, tuple(sorted(set(rows.y.tolist()))), rows, rows)


def held(memory):
    """How many rows of each class."""
    y = memory.rows.y.tolist()
    return {c: y.count(c) for c in sorted(set(y))}


def assert_same_rows(a, b):
    for name in ("x", "y", "task", "key"):
        assert torch.equal(getattr(a, name), getattr(b, name)), name
    assert a.extra.keys() == b.extra.keys()
    assert all(torch.equal(a.extra[name], b.extra[name]) for name in a.extra)


def numbered(n, first=0):
    """Rows whose every column tells the key."""
    key = torch.arange(first, first + n)
    x = key[:, None].repeat(1, 4).float()
    return Rows(x, key % 3, key // 1000, key, {"logits": key[:, None].double()})


def assert_columns_agree(rows):
    assert_same_rows(rows, replace(numbered(10_000)[rows.key], key=rows.key))


# what a balanced memory keeps


@settings(deadline=None, max_examples=40)
@given(
    capacity=st.integers(1, 30),
    sizes=st.lists(st.integers(1, 12), min_size=1, max_size=5),
    select=st.sampled_from(["random", "herding"]),
)
def test_every_class_gets_its_share_and_the_capacity_is_never_exceeded(
    table, identity, capacity, sizes, select
):
    memory = ClassBalanced(capacity, select=select)
    for c, size in enumerate(sizes):
        rows = table([c] * size, task=c, first=100 * c)
        memory.consolidate(identity, task_of(rows, c), chance())
        share, extra = divmod(capacity, c + 1)
        full = {k: min(sizes[k], share + (k < extra)) for k in range(c + 1)}
        assert held(memory) == {k: n for k, n in full.items() if n}
        assert len(memory) <= capacity


@pytest.mark.parametrize("select", ["random", "herding"])
def test_old_shares_shrink_to_their_best_first(table, identity, select):
    memory = ClassBalanced(8, select=select)
    memory.consolidate(identity, task_of(table([0] * 20)), chance())
    before = memory.rows.key.tolist()
    memory.consolidate(identity, task_of(table([1] * 20, task=1, first=100), 1), chance())
    assert memory.rows.key.tolist()[:4] == before[:4]


def test_a_choice_at_random_is_distinct_and_uniform():
    drawn = torch.stack([at_random(6, 2, chance(seed)) for seed in range(3000)])
    assert bool((drawn[:, 0] != drawn[:, 1]).all())
    share = torch.bincount(drawn.flatten(), minlength=6) / drawn.numel()
    assert float((share - 1 / 6).abs().max()) < 0.02
    assert sorted(at_random(3, 9, chance()).tolist()) == [0, 1, 2]


@pytest.mark.parametrize("capacity", [4, 10, 12])
def test_every_arrival_of_a_class_has_an_even_share(table, identity, capacity):
    memory = ClassBalanced(capacity)
    for index in range(4):
        rows = table([0] * 30, task=index, first=100 * index)
        memory.consolidate(identity, task_of(rows, index), chance(index))
        shares = torch.bincount(memory.rows.task, minlength=index + 1)
        assert int(shares.sum()) == capacity
        assert int(shares.max() - shares.min()) <= 1


def test_a_class_that_came_twice_shrinks_evenly(table, identity):
    memory = ClassBalanced(12)
    for index, c in enumerate((0, 0, 1)):
        rows = table([c] * 30, task=index, first=100 * index)
        memory.consolidate(identity, task_of(rows, index), chance(index))
    assert torch.bincount(memory.rows.task).tolist() == [3, 3, 6]


def test_a_class_that_comes_again_in_a_few_rows_leaves_the_rest_to_its_past(table, identity):
    memory = ClassBalanced(10)
    memory.consolidate(identity, task_of(table([0] * 30)), chance())
    memory.consolidate(identity, task_of(table([0] * 2, task=1, first=100), 1), chance())
    assert memory.rows.task.tolist().count(0) == 8
    assert memory.rows.task.tolist().count(1) == 2


def twin_of_herding(features, keep):
    """Try every remaining row for the next place; keep the one whose mean is nearest."""
    n, f = len(features), len(features[0])
    mean = [sum(row[c] for row in features) / n for c in range(f)]
    chosen = []
    while len(chosen) < min(keep, n):
        distances = {}
        for i in set(range(n)) - set(chosen):
            group = [features[j] for j in (*chosen, i)]
            centre = [sum(row[c] for row in group) / len(group) for c in range(f)]
            distances[i] = math.dist(centre, mean)
        chosen.append(min(distances, key=distances.get))
    return chosen


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("keep", [1, 7, 20])
def test_herding_is_its_slow_twin(seed, keep):
    features = torch.randn(12, 3, generator=chance(seed), dtype=torch.float64)
    assert herding(features, keep).tolist() == twin_of_herding(features.tolist(), keep)


def test_a_herding_memory_herds_each_class_on_unit_features(table, identity):
    x = torch.randn(40, 5, generator=chance(3), dtype=torch.float64)
    rows = table([0, 1] * 20, x=x)
    memory = ClassBalanced(8, select="herding")
    memory.consolidate(identity, task_of(rows), chance())
    for c in (0, 1):
        mine = (rows.y == c).nonzero()[:, 0]
        unit = (x[mine] / x[mine].norm(dim=1, keepdim=True)).tolist()
        expected = mine[twin_of_herding(unit, 4)].tolist()
        assert memory.rows.key[memory.rows.y == c].tolist() == expected


# what a reservoir keeps


def twin_of_reservoir(batches, capacity, generator):
    """Vitter's algorithm R on a list of keys, with the generator's own numbers."""
    kept, seen = [], 0
    for keys in batches:
        room = min(max(capacity - len(kept), 0), len(keys))
        kept += keys[:room]
        seen += room
        u = torch.rand(len(keys) - room, generator=generator)
        for key, share in zip(keys[room:], u):
            seen += 1
            place = int(share * seen)
            if place < capacity:
                kept[place] = key
    return kept


@pytest.mark.parametrize("capacity", [1, 5, 16, 40])
def test_a_reservoir_is_its_slow_twin(capacity):
    memory, generator, start = Reservoir(capacity), chance(2), 0
    batches = []
    for size in (7, 1, 12, 10, 3):
        memory.observe(numbered(size, start), 0, generator)
        batches.append(list(range(start, start + size)))
        start += size
        assert len(memory) <= capacity
    assert memory.seen == 33
    assert memory.rows.key.tolist() == twin_of_reservoir(batches, capacity, chance(2))
    assert_columns_agree(memory.rows)


def test_a_reservoir_is_a_uniform_sample():
    """Of 10000 rows 2000 are kept: each of 10 blocks by 200, with deviation 13."""
    memory, generator = Reservoir(2000), chance(1)
    for start in range(0, 10_000, 250):
        memory.observe(numbered(250, start), 0, generator)
    assert memory.rows.images == len(memory) == 2000
    blocks = torch.bincount(memory.rows.key // 1000, minlength=10)
    assert int((blocks - 200).abs().max()) < 60


def test_only_the_first_epoch_of_a_task_offers():
    memory = Reservoir(5)
    memory.observe(numbered(8), 1, chance())
    assert memory.rows is None and memory.seen == 0


@pytest.mark.parametrize("use", ["pool", "mix", "draw", "readout"])
def test_a_run_offers_each_sample_once(tiny_stream, tiny_training, use):
    method = replace(make("er"), memory=Reservoir(10_000, use))
    work = Run(method, tiny_stream, Setup(tiny_training, Network(width=2), Machine("cpu")))
    for _ in work.events():
        pass
    offered = torch.cat([task.train.key for task in tiny_stream])
    assert work.continual.memory.seen == len(offered)
    assert work.continual.memory.rows.key.sort().values.tolist() == offered.sort().values.tolist()


# how it comes back


@pytest.fixture(params=["pool", "mix", "draw", "readout"])
def filled(request):
    memory = Memory(5, request.param)
    memory.rows = numbered(5)
    return memory


def test_only_a_pool_joins_the_rows_of_an_epoch(filled):
    rows = numbered(9, 1000)
    pooled = filled.pooled(rows)
    if filled.use == "pool":
        assert pooled.key.tolist() == [*range(1000, 1009), *range(5)]
        assert_columns_agree(pooled)
    else:
        assert pooled is rows


def test_only_a_mix_gives_a_batch_as_many_stored_rows_again(filled):
    rows = numbered(9, 1000)
    mixed = filled.mixed(rows, chance())
    if filled.use == "mix":
        assert mixed.key.tolist()[:9] == rows.key.tolist()
        assert len(mixed) == 18 and set(mixed.key.tolist()[9:]) <= set(range(5))
        assert_columns_agree(mixed)
    else:
        assert mixed is rows


def test_only_a_draw_is_a_part_of_its_own(filled):
    drawn = filled.drawn(9, chance())
    if filled.use == "draw":
        assert drawn.keys() == {"memory"}
        assert len(drawn["memory"]) == 9 and set(drawn["memory"].key.tolist()) <= set(range(5))
        assert_columns_agree(drawn["memory"])
    else:
        assert drawn == {}


def test_draws_are_uniform():
    memory = Memory(5, "draw")
    memory.rows = numbered(5)
    drawn = memory.drawn(10_000, chance())["memory"]
    share = torch.bincount(drawn.key, minlength=5) / len(drawn)
    assert float((share - 0.2).abs().max()) < 0.02


@pytest.mark.parametrize("use", ["pool", "mix", "draw", "readout"])
def test_an_empty_memory_adds_nothing(use):
    memory, rows = Memory(5, use), numbered(4)
    assert memory.pooled(rows) is rows
    assert memory.mixed(rows, chance()) is rows
    assert memory.drawn(4, chance()) == {}
    assert len(memory) == 0


def test_no_memory_never_keeps(table, identity):
    memory = NoMemory()
    memory.observe(numbered(4), 0, chance())
    memory.consolidate(identity, task_of(table([0, 1])), chance())
    assert not memory.keeps and memory.rows is None


def test_everything_keeps_every_row_of_every_task(table, identity):
    first, second = table([0, 1, 1]), table([2, 2], task=1, first=10)
    memory = Everything()
    memory.consolidate(identity, task_of(first), chance())
    memory.consolidate(identity, task_of(second, 1), chance())
    assert memory.keeps
    assert memory.rows.key.tolist() == [0, 1, 2, 10, 11]
    assert torch.equal(memory.rows.x, torch.cat([first.x, second.x]))


def test_a_negative_capacity_is_refused():
    with pytest.raises(ConfigError, match="at least 0 images, not -1"):
        Reservoir(-1)


# state is data


@pytest.mark.parametrize("make_one", [NoMemory, Everything, ClassBalanced, Reservoir])
def test_an_untouched_memory_round_trips(make_one):
    fresh = make_one()
    fresh.load_state_dict(make_one().state_dict())
    assert fresh.rows is None


@pytest.mark.parametrize("make_one", [Everything, lambda: ClassBalanced(6), lambda: Reservoir(6)])
def test_a_fresh_memory_takes_over_every_bit_and_goes_on_alike(identity, make_one):
    def meet(memory, index):
        rows, generator = numbered(9, 1000 * index), chance(index)
        memory.observe(rows, 0, generator)
        memory.consolidate(identity, task_of(rows, index), generator)

    memory, fresh = make_one(), make_one()
    meet(memory, 0)
    fresh.load_state_dict(memory.state_dict())
    assert_same_rows(fresh.rows, memory.rows)
    meet(memory, 1)
    meet(fresh, 1)
    assert_same_rows(fresh.rows, memory.rows)
    assert_columns_agree(fresh.rows)
