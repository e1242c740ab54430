"""Labels and inputs of every usual kind: right, or refused in a sentence before anything is learned."""

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from holdfast import HoldfastClassifier
from holdfast.core.errors import ConfigError, DataError
from holdfast.stream.labels import label_list, labels_of, union
from holdfast.stream.pixels import unpacked
from holdfast.stream.source import from_arrays
from holdfast.stream.task import make_task

BIG = 2**63 + 5


@pytest.mark.parametrize(
    "values, kind",
    [
        ([BIG, 7], np.uint64),
        (np.array([BIG, 7], np.uint64), np.uint64),
        (pd.Series([BIG, 7], dtype=object), np.uint64),
        ([2**62 + 1, -7], np.int64),
        (pd.array([2**62 + 1, 7], dtype="Int64"), np.int64),
        ([True, False], np.bool_),
    ],
)
def test_integers_of_64_bits_stay_what_they_are(values, kind):
    labels = labels_of(values)
    assert labels.dtype == kind and labels.tolist() == list(values)


@pytest.mark.parametrize("values", [[BIG, -1], [2**64, 1]])
def test_integers_that_no_type_holds_are_refused(values):
    with pytest.raises(DataError, match="64 bits do not hold them, give them as strings"):
        labels_of(values)


@pytest.mark.parametrize(
    "a, b, expected",
    [
        (np.array([BIG, 7], np.uint64), np.array([1, 7]), [1, 7, BIG]),
        (np.array([2**62 + 1]), np.array([1.0, 2.0]), [1, 2, 2**62 + 1]),
        (np.array([3, 1]), np.array([], np.uint64), [1, 3]),
        (np.array(["a"]), np.array(["abc", "a"]), ["a", "abc"]),
    ],
)
def test_the_union_of_labels_loses_nothing(a, b, expected):
    assert union(a, b).tolist() == union(b, a).tolist() == expected


def test_a_union_that_64_bits_do_not_hold_is_refused():
    with pytest.raises(DataError, match="64 bits"):
        union(np.array([BIG], np.uint64), np.array([-1]))


def test_a_classifier_predicts_the_labels_it_was_given():
    x = np.repeat([[0.0, 4.0], [4.0, 0.0]], 20, 0) + np.random.default_rng(0).normal(size=(40, 2))
    ids = np.array([BIG, 7], np.uint64)[np.arange(40) // 20]
    model = HoldfastClassifier(random_state=0, epochs=5).fit(x, ids)
    model.partial_fit(x + 20, np.arange(40) // 20 + 1, classes=[1, 2])
    assert model.classes_.tolist() == [1, 2, 7, BIG]
    answers = model.predict(x).tolist()
    assert set(answers) <= {1, 2, 7, BIG}
    assert model.score(x, ids) == np.mean([a == b for a, b in zip(answers, ids.tolist())]) > 0.2


MISSING = {
    "string": pd.Series(["a", "b", pd.NA, "a"], dtype="string"),
    "boolean": pd.array([True, False, None, True], dtype="boolean"),
    "Int64": pd.Series([1, 2, None, 1], dtype="Int64"),
    "category": pd.Series(["a", "b", None, "a"], dtype="category"),
    "list": ["a", None, "b", "a"],
    "masked": np.ma.array([1, 2, 3, 1], mask=[0, 0, 1, 0]),
}


@pytest.mark.parametrize("kind", MISSING)
def test_a_missing_label_is_called_missing(kind):
    with pytest.raises(DataError, match=r"missing|masked|NaN"):
        labels_of(MISSING[kind])
    with pytest.raises(DataError, match=r"missing|masked"):
        label_list(MISSING[kind])


def test_labels_too_large_for_a_source_are_refused():
    x = np.zeros((4, 2))
    with pytest.raises(DataError, match=r"row 0 is 9223372036854775813.*2\^63 - 1"):
        from_arrays(x, np.array([BIG, 1] * 2, np.uint64))


# ---- tasks


@pytest.mark.parametrize(
    "labels",
    [
        torch.tensor([5, 3, 5]),
        np.array([5, 3, 5]),
        np.array([5.0, 3.0, 5.0]),
        pd.Series([5, 3, 5]),
        [np.int64(5), torch.tensor(3), 5],
        (5, 3, 5),
    ],
)
def test_a_task_takes_labels_of_every_kind(labels):
    task, known = make_task(torch.rand(3, 2), labels, [9])
    assert known == [9, 3, 5] and task.train.y.tolist() == [2, 1, 2]
    assert all(type(label) is int for label in known)


@pytest.mark.parametrize(
    "labels, message",
    [
        ([1, 2.5, 1], "label of input 1 is 2.5: labels are integers or strings"),
        ([1, 2, None], "label of input 2 is missing"),
        (np.ones((3, 1)), r"label of input 0 is \[1.0\]"),
        (torch.tensor([1.0, torch.nan, 1.0]), "label of input 1 is missing"),
        ([1, float("inf"), 1], "label of input 1 is inf"),
    ],
)
def test_a_task_refuses_labels_that_are_none(labels, message):
    with pytest.raises(DataError, match=message):
        make_task(torch.rand(3, 2), labels)


def test_a_task_needs_a_label_for_each_input():
    with pytest.raises(ConfigError, match="not 3 with 2 labels"):
        make_task(torch.rand(3, 2), [0, 1])


@pytest.mark.parametrize(
    "x, kind",
    [
        (np.ones((2, 3)), torch.float64),
        (torch.ones(2, 3).double(), torch.float64),
        (torch.ones(2, 3), torch.float32),
        (torch.ones(2, 3).half(), torch.float32),
        (torch.ones(2, 3).int(), torch.float64),
        (np.ones((2, 8, 8, 3), np.uint8), torch.uint8),
        (torch.ones(2, 1, 8, 8).double(), torch.uint8),
        ([[1, 1, 1], [1, 1, 1]], torch.float64),
    ],
)
def test_a_task_takes_inputs_of_every_kind(x, kind):
    task, _ = make_task(x, [0, 1])
    assert task.train.x.dtype == kind and len(task.train) == 2


def test_a_task_refuses_inputs_that_are_not_finite():
    with pytest.raises(DataError, match="NaN or infinite"):
        make_task(torch.tensor([[1.0], [torch.inf]]), [0, 1])


# ---- inputs one by one


def pictures(count=6):
    shades = [np.full((8, 8, 3), 40 * i, np.uint8) for i in range(count)]
    return [Image.fromarray(shade) for shade in shades], torch.from_numpy(np.stack(shades))


def column(items):
    array = np.empty(len(items), object)
    array[:] = items
    return array


@pytest.mark.parametrize(
    "kind", [list, tuple, column, pd.Series, lambda p: pd.DataFrame({"image": p})]
)
def test_images_come_in_lists_object_arrays_and_columns(kind):
    images, pixels = pictures()
    x, _ = unpacked(kind(images))
    assert torch.equal(x, pixels.permute(0, 3, 1, 2))
    model = HoldfastClassifier(epochs=1, random_state=0).fit(kind(images), [0, 1] * 3)
    assert model.shape_in_ == (3, 8, 8) and len(model.predict(kind(images[:2]))) == 2


def test_a_column_of_arrays_is_one_array():
    arrays = [np.full((8, 8), i, np.uint8) for i in range(4)]
    assert np.array_equal(unpacked(pd.Series(arrays))[0], np.stack(arrays))
    with pytest.raises(DataError, match="all must have one shape"):
        unpacked(pd.Series([*arrays, np.zeros((2, 2))]))


def test_what_is_no_image_among_images_is_named():
    images, _ = pictures()
    with pytest.raises(DataError, match="image 6 is a str: all must be PIL images"):
        unpacked([*images, "photo.png"])
    with pytest.raises(DataError, match="X is a single image: give a list"):
        unpacked(images[0])


def test_deep_greys_are_read_by_the_range_of_the_first_task():
    scans = [Image.fromarray(np.full((8, 8), v, np.uint16)) for v in (100, 4000) * 4]
    model = HoldfastClassifier(epochs=1, random_state=0).fit(scans, [0, 1] * 4)
    x, _ = model._inputs(scans[:1], fresh=False)
    assert x.max() == 6
