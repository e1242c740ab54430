"""Samples dropped from a memory, and what later ones do with their places."""

import pytest
import torch

from holdfast.memory import ClassBalanced, NoMemory, Reservoir
from holdfast.testing.forgetting import forgets_samples


def chance(seed=0):
    return torch.Generator().manual_seed(seed)


def test_dropped_samples_are_gone_and_counted(table):
    memory = ClassBalanced(6)
    memory.rows = table([0, 0, 1, 1, 2])
    assert memory.drop(torch.tensor([1, 4, 99])) == 2
    assert memory.rows.key.tolist() == [0, 2, 3] and memory.rows.y.tolist() == [0, 1, 1]
    assert memory.drop(torch.tensor([0, 2, 3])) == 3
    assert memory.rows is None and len(memory) == 0
    assert NoMemory().drop(torch.tensor([0])) == 0


def test_a_reservoir_stays_uniform_over_what_is_left(table):
    """40 rows, 12 dropped wherever they are, 20 more: every row that is left is stored as often."""
    times, stored, trials = torch.zeros(60), [], 1500
    gone = torch.arange(0, 36, 3)
    first, later = table([0] * 40), table([0] * 20, first=40)
    for seed in range(trials):
        memory, generator = Reservoir(10), chance(seed)
        memory.observe(first, 0, generator)
        memory.drop(gone)
        assert not set(memory.rows.key.tolist()) & set(gone.tolist())
        memory.observe(later[slice(0, 7)], 0, generator)  # in two portions
        memory.observe(later[slice(7, None)], 0, generator)
        stored.append(len(memory))
        times[memory.rows.key] += 1
    assert sum(memory.owed) == 0 and set(stored) == {10}
    left = torch.ones(60, dtype=torch.bool)
    left[gone] = False
    share = 10 / 48
    sd = (share * (1 - share) / trials) ** 0.5
    found = times[left] / trials
    assert float((found - share).abs().max()) < 4.5 * sd
    assert abs(float(found[28:].mean()) - share) < 4 * sd  # those that came later, together
    assert float(times[gone].sum()) == 0


def test_what_a_reservoir_owes_survives_in_its_state(table):
    memory = Reservoir(4)
    memory.observe(table([0] * 8), 0, chance())
    memory.drop(memory.rows.key[:2])
    fresh = Reservoir(4)
    fresh.set_extra_state(memory.get_extra_state())
    assert fresh.owed == memory.owed == (2, 0) and fresh.seen == 8
    for each in (memory, fresh):
        each.observe(table([0] * 3, first=8), 0, chance(1))
    assert fresh.rows.key.tolist() == memory.rows.key.tolist() and len(fresh) == 4
    assert "owed" not in memory.get_extra_state()  # made up for: a state as before


def test_the_law_sees_a_memory_that_keeps_what_it_is_to_drop(table):
    class Sticky(ClassBalanced):
        def drop(self, keys):
            return 2 if len(self) == 4 else 0

    class Silent(ClassBalanced):
        def drop(self, keys):
            super().drop(keys)
            return 0

    for kind, why in ((Sticky, "keeps other samples"), (Silent, "says that it dropped 0 samples")):
        memory = kind(4)
        memory.rows = table([0, 0, 1, 1])
        with pytest.raises(AssertionError, match=why):
            forgets_samples(memory, "it")
