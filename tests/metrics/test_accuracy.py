"""The accuracy matrix and its figures, against loops over its entries (docs/theory.md, section 11)."""

import math

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from holdfast.metrics.accuracy import Accuracy, accuracies, right_task


def twin_of_after(R, sizes, i):
    right = sum(R[i][j] * sizes[j] for j in range(i + 1))
    return right / sum(sizes[: i + 1])


def twin_of_average(R, sizes):
    return sum(twin_of_after(R, sizes, i) for i in range(len(R))) / len(R)


def twin_of_forgetting(R):
    drops = []
    for j in range(len(R) - 1):
        best = -math.inf
        for i in range(j, len(R) - 1):
            best = max(best, R[i][j])
        drops.append(best - R[-1][j])
    return sum(drops) / len(drops)


def twin_of_backward_transfer(R):
    return sum(R[-1][j] - R[j][j] for j in range(len(R) - 1)) / (len(R) - 1)


@st.composite
def measured(draw, least=1):
    """A lower triangle of accuracies and the sizes of the test sets."""
    tasks = draw(st.integers(least, 6))
    share = st.integers(0, 64).map(lambda n: n / 64)  # exact in float32
    rows = [[draw(share) for _ in range(i + 1)] for i in range(tasks)]
    sizes = draw(st.lists(st.integers(1, 50), min_size=tasks, max_size=tasks))
    return rows, sizes


def accuracy_of(rows, sizes):
    matrix = torch.full((len(rows), len(rows)), torch.nan)
    for i, row in enumerate(rows):
        matrix[i, : i + 1] = torch.tensor(row)
    return Accuracy(matrix, torch.tensor(sizes))


@settings(deadline=None, max_examples=60)
@given(measured())
def test_averages_weigh_every_image_alike(given_):
    R, sizes = given_
    found = accuracy_of(R, sizes)
    for i in range(len(R)):
        assert found.after(i) == pytest.approx(twin_of_after(R, sizes, i))
    assert found.final == pytest.approx(twin_of_after(R, sizes, len(R) - 1))
    assert found.average == pytest.approx(twin_of_average(R, sizes))


@settings(deadline=None, max_examples=60)
@given(measured(least=2))
def test_forgetting_and_transfer_are_their_twins(given_):
    R, sizes = given_
    found = accuracy_of(R, sizes)
    assert found.forgetting == pytest.approx(twin_of_forgetting(R))
    assert found.backward_transfer == pytest.approx(twin_of_backward_transfer(R))


def test_uneven_test_sets_weigh_by_their_size():
    found = accuracy_of([[1.0], [0.0, 1.0]], [90, 10])
    assert found.final == pytest.approx(0.1)
    assert found.average == pytest.approx((1.0 + 0.1) / 2)


def test_forgetting_is_measured_from_the_best_moment_not_the_first():
    found = accuracy_of([[0.5], [0.75, 1.0], [0.25, 1.0, 1.0]], [1, 1, 1])
    assert found.forgetting == pytest.approx((0.5 + 0.0) / 2)
    assert found.backward_transfer == pytest.approx((-0.25 + 0.0) / 2)


def test_what_is_not_defined_is_missing_and_not_zero():
    one = accuracy_of([[0.75]], [4])
    assert one.forgetting is None and one.backward_transfer is None
    assert one.final == one.average == 0.75
    assert one.to_dict()["forgetting"] is None and one.to_dict()["backward_transfer"] is None


def test_a_dictionary_holds_matrix_sizes_and_figures():
    R, sizes = [[1.0], [0.5, 0.75]], [3, 5]
    found = accuracy_of(R, sizes).to_dict()
    assert found["matrix"] == [[1.0, None], [0.5, 0.75]]
    assert found["sizes"] == sizes
    assert found["final"] == pytest.approx(twin_of_after(R, sizes, 1))
    assert found["average"] == pytest.approx(twin_of_average(R, sizes), abs=1e-6)
    assert found["forgetting"] == -found["backward_transfer"] == 0.5


def twin_of_accuracies(scores, y, classes):
    """Look at every row; a tie goes to the first class."""
    anywhere = within = 0
    for row, label in zip(scores, y):
        anywhere += label == max(range(len(row)), key=lambda k: row[k])
        within += label == max(classes, key=lambda k: row[k])
    return anywhere / len(y), within / len(y)


@st.composite
def scored(draw):
    """Scores on a coarse grid, so that ties happen, for a task of some of the classes."""
    K = draw(st.integers(1, 6))
    classes = tuple(sorted(draw(st.sets(st.integers(0, K - 1), min_size=1))))
    n = draw(st.integers(1, 12))
    row = st.lists(st.integers(-2, 2).map(float), min_size=K, max_size=K)
    return (
        [draw(row) for _ in range(n)],
        [draw(st.sampled_from(classes)) for _ in range(n)],
        classes,
    )


@settings(deadline=None, max_examples=150)
@given(scored())
def test_accuracies_are_their_twin_and_task_il_is_never_below_class_il(given_):
    scores, y, classes = given_
    class_il, task_il = accuracies(torch.tensor(scores), torch.tensor(y), classes)
    assert (class_il, task_il) == pytest.approx(twin_of_accuracies(scores, y, classes))
    assert task_il >= class_il


@settings(deadline=None, max_examples=60)
@given(scored())
def test_with_all_classes_in_one_task_the_two_agree(given_):
    scores, y, _ = given_
    class_il, task_il = accuracies(
        torch.tensor(scores), torch.tensor(y), tuple(range(len(scores[0])))
    )
    assert class_il == task_il


@settings(deadline=None, max_examples=60)
@given(scored(), st.integers(0, 9))
def test_the_order_of_the_rows_does_not_matter(given_, seed):
    scores, y, classes = given_
    assume(len(y) > 1)
    scores, y = torch.tensor(scores), torch.tensor(y)
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(seed))
    assert accuracies(scores[order], y[order], classes) == accuracies(scores, y, classes)


def test_class_il_is_right_task_times_right_class_within_it():
    """Counted row by row; the task may be right with another class of it."""
    generator = torch.Generator().manual_seed(3)
    scores, classes = torch.randn(40, 6, generator=generator), (1, 4)
    y = torch.tensor([classes[i % 2] for i in range(40)])
    inside = [row.index(max(row)) in classes for row in scores.tolist()]
    both = [row.index(max(row)) == label for row, label in zip(scores.tolist(), y.tolist())]
    share = right_task(scores, classes)
    assert share == pytest.approx(sum(inside) / 40) and 0 < sum(both) < sum(inside)
    class_il, _ = accuracies(scores, y, classes)
    assert class_il == pytest.approx(share * sum(both) / sum(inside))
