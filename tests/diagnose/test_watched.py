"""Watched rows: the same for all methods, of held-out rows, as many a class as stated."""

from dataclasses import replace

import pytest
import torch

from holdfast.core.errors import ConfigError
from holdfast.core.rng import derive_seed
from holdfast.diagnose import watch
from holdfast.diagnose.watched import some_of


def test_they_are_chosen_by_their_keys_alone(tiny_stream):
    some = watch(tiny_stream, seed=3, per_class=4)
    for task in tiny_stream:
        for c in task.classes:
            keys = task.test.key[task.test.y == c].tolist()
            expected = sorted(keys, key=lambda key: derive_seed(3, key))[:4]
            mine = (some.rows.y == c) & (some.rows.task == task.index)
            assert some.rows.key[mine].tolist() == expected
    reversed_rows = tuple(
        replace(t, test=t.test[torch.arange(len(t.test)).flip(0)]) for t in tiny_stream
    )
    again = watch(replace(tiny_stream, tasks=reversed_rows), seed=3, per_class=4)
    assert torch.equal(again.rows.key, some.rows.key)
    assert not torch.equal(watch(tiny_stream, 4, 4).rows.key, some.rows.key)


def test_none_of_them_was_trained_on_and_both_folds_have_every_class(tiny_stream):
    some = watch(tiny_stream)
    trained = torch.cat([task.train.key for task in tiny_stream])
    assert not torch.isin(some.rows.key, trained).any()
    assert len(some) == sum(len(task.test) for task in tiny_stream) and some.per_class == 100
    for c in some.rows.y.unique():
        assert some.fold[some.rows.y == c].unique().tolist() == [0, 1]


def test_a_part_of_many_rows(tiny_stream):
    rows = tiny_stream[0].train
    part = some_of(rows, 0, 7)
    assert len(part) == 7 and torch.isin(part.key, rows.key).all()
    assert some_of(rows, 0, 1000) is rows


def test_what_cannot_be_watched(tiny_stream):
    with pytest.raises(ConfigError, match="at least 2 watched rows a class, not 1"):
        watch(tiny_stream, per_class=1)
    bare = tuple(replace(t, test=t.test[:0]) for t in tiny_stream)
    with pytest.raises(ConfigError, match="no test rows"):
        watch(replace(tiny_stream, tasks=bare))
