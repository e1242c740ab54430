"""Cutting a source: nothing is lost or repeated, names and numbers follow the order of arrival."""

import math

import pytest
import torch

from holdfast.core.errors import ConfigError, DataError
from holdfast.stream.source import Source, from_arrays
from holdfast.stream.split import (
    class_incremental,
    domain_incremental,
    instance_incremental,
    make_stream,
    rotated,
)

NAMES = [f"class {letter}" for letter in "abcdefghij"]


def made(K=10, train=6, test=3, shape=(3, 5, 4)):
    """A source whose rows all differ; row i of the train set is of class i % K."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(0, 256, ((train + test) * K, *shape), generator=generator, dtype=torch.uint8)
    y = torch.arange((train + test) * K) % K
    return from_arrays(
        x[: train * K], y[: train * K], x[train * K :], y[train * K :], names=NAMES[:K]
    )


def rows(stream, side="train"):
    return [getattr(task, side) for task in stream]


def keys(stream, side="train"):
    return torch.cat([table.key for table in rows(stream, side)])


ALL = {
    "class": lambda s: make_stream(s, "class", 5),
    "shuffled": lambda s: make_stream(s, "class", 5, order_seed=3),
    "uneven": lambda s: make_stream(s, classes_per_task=(4, 2, 2, 2)),
    "permuted": lambda s: make_stream(s, "permuted", 3),
    "rotated": lambda s: make_stream(s, "rotated", 3),
    "instance": lambda s: make_stream(s, "instance", 3),
}


@pytest.mark.parametrize("cut", ALL.values(), ids=ALL)
def test_laws_of_every_scenario(cut):
    source = made()
    stream = cut(source)
    train, test = keys(stream), keys(stream, "test")
    assert train.unique().numel() == len(train) and test.unique().numel() == len(test)
    assert train.sort().values.tolist() == list(range(len(train)))
    assert test.sort().values.tolist() == list(range(len(train), len(train) + len(test)))
    assert stream.names == tuple(source.names[c] for c in stream.order)
    assert sorted(stream.order) == list(range(10)) and stream.name == source.name
    for t, task in enumerate(stream):
        assert task.index == t
        for table in (task.train, task.test):
            assert (table.task == t).all() and table.x.dtype == torch.uint8
            assert tuple(table.y.unique().tolist()) == task.classes
    assert stream.fingerprint() == cut(source).fingerprint()


@pytest.mark.parametrize("order_seed", [None, 0, 1])
def test_classes_arrive_once_and_labels_count_in_order_of_arrival(order_seed):
    source = made()
    stream = class_incremental(source, 5, order_seed=order_seed)
    assert stream.scenario == "class" and [len(task.classes) for task in stream] == [2] * 5
    assert stream.seen(4) == tuple(range(10)) and len(keys(stream)) == len(source.y)
    assert (stream.order == tuple(range(10))) == (order_seed is None)
    for table in rows(stream):
        assert torch.equal(table.x, source.x[table.key])
        assert torch.equal(torch.tensor(stream.order)[table.y], source.y[table.key])
    for table in rows(stream, "test"):
        assert torch.equal(table.x, source.test_x[table.key - len(source.y)])
    names = [source.names[c] for c in source.y[stream[0].train.key]]
    assert names == [stream.names[y] for y in stream[0].train.y]


@pytest.mark.parametrize(
    "tasks, sizes", [(1, [10]), (3, [4, 3, 3]), (4, [3, 3, 2, 2]), (10, [1] * 10)]
)
def test_the_first_tasks_get_one_class_more(tasks, sizes):
    assert [len(task.classes) for task in class_incremental(made(), tasks)] == sizes
    assert [
        len(task.classes) for task in class_incremental(made(), classes_per_task=sizes)
    ] == sizes


@pytest.mark.parametrize(
    "options, message",
    [
        ({"tasks": 11}, "11 tasks need 11 classes, but there are 10"),
        ({"tasks": 0}, "tasks is 0: it must be at least 1"),
        ({}, "give tasks or classes_per_task"),
        (
            {"classes_per_task": (4, 4)},
            r"classes_per_task is \[4, 4\]: they add up to 8, but there are 10",
        ),
        ({"classes_per_task": (10, 0)}, r"classes_per_task is \[10, 0\]: .* every task needs one"),
        ({"classes_per_task": (5, 5), "tasks": 3}, "makes 2 tasks, not 3"),
    ],
)
def test_cuts_that_do_not_fit_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        class_incremental(made(), **options)


@pytest.mark.parametrize("side", ["train", "test"])
@pytest.mark.parametrize("scenario", ["class", "permuted", "instance"])
def test_a_class_without_rows_is_named(side, scenario):
    full = made(4)
    kept = [full.x, full.y, full.test_x, full.test_y]
    start = 0 if side == "train" else 2
    mask = kept[start + 1] != 2
    kept[start : start + 2] = kept[start][mask], kept[start + 1][mask]
    with pytest.raises(DataError, match=f"class 'class c' of 'arrays' has no {side} rows"):
        make_stream(Source("arrays", *kept, full.names), scenario, 2)


def test_permuted_tasks_see_all_rows_in_another_order_of_pixels():
    source = made()
    stream = domain_incremental(source, 3, "permuted", order_seed=5)
    assert stream.scenario == "domain" and torch.equal(stream[0].train.x, source.x)
    for task in stream:
        assert torch.equal(task.train.y, source.y) and task.classes == tuple(range(10))
        assert torch.equal(task.train.x.flatten(2).sort().values, source.x.flatten(2).sort().values)
    order = [
        int(
            (source.x.flatten(2)[..., j, None] == stream[1].train.x.flatten(2))
            .all((0, 1))
            .nonzero()
        )
        for j in range(20)
    ]
    assert sorted(order) == list(range(20)) and order != list(range(20))
    assert torch.equal(stream[1].test.x.flatten(2)[..., order], source.test_x.flatten(2))
    assert not torch.equal(stream[1].train.x, stream[2].train.x)
    other = domain_incremental(source, 3, "permuted", order_seed=6)
    assert not torch.equal(stream[1].train.x, other[1].train.x)


def test_features_can_be_permuted_but_not_rotated():
    x, y = torch.randn(20, 6), torch.arange(20) % 2
    source = from_arrays(x, y, x, y)
    stream = make_stream(source, "permuted", 2)
    assert torch.equal(stream[1].train.x.sort().values, source.x.sort().values)
    with pytest.raises(
        ConfigError, match="'arrays' holds feature vectors: only images can be rotated"
    ):
        make_stream(source, "rotated", 2)


def test_rotation_is_counter_clockwise_and_exact_at_right_angles():
    images = made(shape=(3, 6, 6)).x
    for quarters in range(4):
        assert torch.equal(rotated(images, 90.0 * quarters), torch.rot90(images, quarters, (2, 3)))
    stream = make_stream(made(shape=(3, 6, 6)), "rotated", 2)
    assert torch.equal(stream[1].train.x, torch.rot90(stream[0].train.x, 1, (2, 3)))


def test_rotation_is_bilinear_in_pixels_whatever_the_sides():
    image = made(shape=(1, 5, 8)).x[:1]
    a, h, w = math.radians(30), 5, 8
    slow = torch.zeros(h, w)
    for i in range(h):
        for j in range(w):
            u, v = j - (w - 1) / 2, i - (h - 1) / 2  # where the pixel at (u, v) came from
            x = math.cos(a) * u - math.sin(a) * v + (w - 1) / 2
            y = math.sin(a) * u + math.cos(a) * v + (h - 1) / 2
            for p in (math.floor(y), math.floor(y) + 1):
                for q in (math.floor(x), math.floor(x) + 1):
                    if 0 <= p < h and 0 <= q < w:
                        slow[i, j] += (1 - abs(y - p)) * (1 - abs(x - q)) * float(image[0, 0, p, q])
    assert (rotated(image, 30)[0, 0].float() - slow).abs().max() <= 0.51
    assert torch.equal(rotated(image.repeat(5, 1, 1, 1), 30, chunk=2)[4], rotated(image, 30)[0])


def test_instances_are_dealt_out_evenly():
    source = made(K=3, train=10, test=5)
    stream = instance_incremental(source, 4, order_seed=1)
    assert (
        stream.scenario == "instance"
        and len(keys(stream)) == 30
        and len(keys(stream, "test")) == 15
    )
    counts = torch.stack([torch.bincount(table.y) for table in rows(stream)])
    assert counts.min() >= 2 and counts.max() <= 3 and counts.sum(0).tolist() == [10] * 3
    for table in rows(stream):
        assert torch.equal(table.x, source.x[table.key]) and torch.equal(
            table.y, source.y[table.key]
        )
    assert not torch.equal(stream[0].train.key, instance_incremental(source, 4)[0].train.key)
    with pytest.raises(
        DataError, match="class 'class a' of 'arrays' has 5 test rows: 6 tasks need 6"
    ):
        instance_incremental(source, 6)


def test_names_that_do_not_exist_are_answered_with_the_nearest():
    with pytest.raises(ConfigError, match="unknown scenario 'clas': did you mean 'class'"):
        make_stream(made(), "clas")
    with pytest.raises(ConfigError, match="unknown kind 'rotate': did you mean 'rotated'"):
        domain_incremental(made(), 2, "rotate")
    with pytest.raises(ConfigError, match="scenario instance has all classes in every task"):
        make_stream(made(), "instance", classes_per_task=(5, 5))
