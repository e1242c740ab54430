"""What a reservoir notes beside its rows, when, and as the head grows."""

from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from holdfast.core.errors import ConfigError
from holdfast.core.settings import Machine, Network, Training
from holdfast.learner import Learner, Output
from holdfast.memory import Reservoir
from holdfast.recipes import make
from holdfast.train.runner import Run
from holdfast.train.setup import Setup


def chance(seed=0):
    return torch.Generator().manual_seed(seed)


def said(rows, width, mark=0.0):
    """An output whose logits tell the key, the column and a mark."""
    logits = rows.key[:, None].float() + torch.arange(width) / 10 + mark
    return Output(torch.zeros(len(rows), 2), torch.zeros(len(rows), 2), logits)


def noting(capacity=6, draws=1):
    return Reservoir(capacity, columns=("logits",), draws=draws)


def test_what_is_noted_belongs_to_its_row(table):
    memory = noting(6)
    for start in (0, 10, 20):
        rows = table([0] * 5, first=start)
        memory.observe(rows, 0, chance(start), said(rows, 3))
    kept = memory.rows
    assert len(kept) == 6
    assert_close(kept.extra["logits"], said(kept, 3).logits)


def test_a_head_that_grew_leaves_nan_where_there_was_nothing(table):
    memory = noting(12)
    for task, width in enumerate((2, 4, 6)):
        rows = table([0] * 6, task=task, first=10 * task)
        memory.observe(rows, 0, chance(task), said(rows, width))
    kept = memory.rows
    assert set(kept.task.tolist()) == {0, 1, 2}
    there = kept.extra["logits"].isfinite()
    assert torch.equal(there, torch.arange(6) < 2 * (kept.task[:, None] + 1))
    assert_close(kept.extra["logits"][there], said(kept, 6).logits[there])


def test_later_epochs_renew_so_that_each_epoch_is_noted_as_often(table):
    """2000 rows over 4 epochs: 500 each, with deviation 19."""
    memory, rows = noting(2000), table([0] * 2000)
    for epoch in range(4):
        memory.observe(rows, epoch, chance(epoch), said(rows, 1, mark=10_000.0 * epoch))
    epochs = (memory.rows.extra["logits"][:, 0] - memory.rows.key).div(10_000).round().long()
    assert int((torch.bincount(epochs, minlength=4) - 500).abs().max()) < 90
    assert memory.seen == 2000 and torch.equal(memory.rows.key, rows.key)


def test_only_rows_that_are_met_are_renewed(table):
    memory, rows = noting(40), table([0] * 40)
    memory.observe(rows, 0, chance(), said(rows, 1))
    half = rows[slice(0, 20)]
    for epoch in range(1, 8):
        memory.observe(half, epoch, chance(epoch), said(half, 1, mark=1000.0))
    renewed = memory.rows.extra["logits"][:, 0] >= 1000
    assert bool(renewed[:20].any()) and not bool(renewed[20:].any())
    again = replace(rows, task=torch.ones_like(rows.task))  # the same samples, in another task
    memory.observe(again, 1, chance(3), said(again, 1, mark=9000.0))
    assert float(memory.rows.extra["logits"].max()) < 9000


def test_draws_are_independent_and_named(table):
    memory, rows = noting(50, draws=3), table([0] * 50)
    memory.observe(rows, 0, chance(), said(rows, 2))
    drawn = memory.drawn(20, chance(1))
    assert list(drawn) == ["memory", "memory_2", "memory_3"]
    assert len({tuple(part.key.tolist()) for part in drawn.values()}) == 3
    for part in drawn.values():
        assert_close(part.extra["logits"], said(part, 2).logits)


def test_noted_columns_survive_in_a_fresh_memory(table):
    memory, fresh = noting(8), noting(8)
    first, second = table([0] * 5), table([1] * 5, task=1, first=10)
    memory.observe(first, 0, chance(), said(first, 2))
    fresh.load_state_dict(memory.state_dict())
    for one in (memory, fresh):
        one.observe(second, 0, chance(1), said(second, 4))
    assert torch.equal(fresh.rows.key, memory.rows.key)
    assert_close(
        fresh.rows.extra["logits"], memory.rows.extra["logits"], equal_nan=True, rtol=0, atol=0
    )


def test_bad_columns_and_draws_are_refused(table):
    for options in ({"columns": ("logit",)}, {"draws": 0}):
        with pytest.raises(ConfigError, match="a reservoir notes features, embedding, logits"):
            Reservoir(5, **options)
    with pytest.raises(ConfigError, match="needs the learner's output"):
        noting().observe(table([0]), 0, chance())


@pytest.mark.parametrize("classes, widths", [("all", [6, 6, 6]), ("seen", [2, 4, 6])])
def test_a_run_notes_what_the_learner_said_of_the_row_in_that_step(
    classes, widths, tiny_stream, monkeypatch
):
    """The batch of every step is compared with what is handed to the memory after it."""
    heard, forward = [], Learner.forward
    outs = []

    def listening(learner, x):
        outs.append(forward(learner, x))
        return outs[-1]

    def observe(self, rows, epoch, generator, out=None):
        heard.append((out, outs[0], rows))
        outs.clear()
        honest(self, rows, epoch, generator, out)

    honest = Reservoir.observe
    monkeypatch.setattr(Learner, "forward", listening)
    monkeypatch.setattr(Reservoir, "observe", observe)
    setup = Setup(Training(epochs=2, batch=16), Network(width=4), Machine("cpu"))
    work = Run(make("der", classes=classes), tiny_stream, setup)
    for _ in work.events():
        outs.clear()
    assert len(heard) == 18
    for out, batch, rows in heard:
        assert torch.equal(out.logits, batch.logits[: len(rows)])
    kept = work.continual.memory.rows
    width = torch.tensor(widths)[kept.task]
    assert torch.equal(kept.extra["logits"].isfinite(), torch.arange(6) < width[:, None])
