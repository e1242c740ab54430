"""Scores without labels: their twins, and the answers that fool them."""

import math

import pytest
import torch

import reference_domains as twin
from holdfast.metrics import unlabelled
from holdfast.metrics.missing import reason_of


def answers(n=12, k=4, seed=0):
    chance = torch.Generator().manual_seed(seed)
    return (2 * torch.randn(n, k, generator=chance).double()).softmax(1)


def test_scores_equal_their_twins():
    p = answers()
    rows = p.tolist()
    assert unlabelled.entropy(p) == pytest.approx(twin.entropy(rows))
    assert unlabelled.information(p) == pytest.approx(twin.information(rows))
    for temperature in (0.05, 0.4):
        expected = twin.density(rows, temperature)
        assert unlabelled.density(p, temperature) == pytest.approx(expected)


def test_the_density_of_many_rows_is_that_of_one_piece(monkeypatch):
    p = answers(50)
    whole = unlabelled.density(p)
    monkeypatch.setattr(unlabelled, "CHUNK", 7)
    assert unlabelled.density(p) == pytest.approx(whole)


def test_what_fools_them():
    n, k = 10, 4
    unsure = torch.full((n, k), 1 / k)
    assert unlabelled.entropy(unsure) == pytest.approx(math.log(k))
    assert unlabelled.information(unsure) == pytest.approx(0)
    collapsed = torch.eye(k)[torch.zeros(n).long()]
    assert unlabelled.entropy(collapsed) == 0  # looks perfect
    assert unlabelled.information(collapsed) == 0  # and is exposed
    assert unlabelled.density(collapsed) == pytest.approx(math.log(n - 1))  # is fooled
    right = torch.eye(k)[torch.arange(12) % k]
    assert unlabelled.information(right) == pytest.approx(math.log(k))


def test_weights_of_importance():
    right = torch.tensor([True, False, True, True])
    assert unlabelled.weighted(right, torch.ones(4)) == 0.75
    assert unlabelled.weighted(right, torch.tensor([1.0, 3.0, 0.0, 0.0])) == 0.25
    assert unlabelled.effective_rows(torch.ones(4)) == 4
    assert unlabelled.effective_rows(torch.tensor([9.0, 1.0])) == pytest.approx(100 / 82)


def test_the_weighted_loss_with_its_control_variate():
    chance = torch.Generator().manual_seed(0)
    loss = torch.rand(20, generator=chance).double()
    weight = torch.rand(20, generator=chance).double() * 3
    expected = twin.dev(loss.tolist(), weight.tolist())
    assert unlabelled.dev(loss, weight) == pytest.approx(expected)
    assert unlabelled.dev(loss, torch.ones(20)) == pytest.approx(float(loss.mean()))
    mean_1 = weight / weight.mean()
    assert unlabelled.dev(loss, mean_1) == pytest.approx(float((mean_1 * loss).mean()))


def nearest_mean(x, y):
    classes = y.unique()
    means = torch.stack([x[y == c].mean(0) for c in classes])
    return lambda z: classes[torch.cdist(z, means).argmin(1)]


def test_circular_validation_tells_right_answers_from_wrong_ones():
    x = torch.tensor([[0.0], [0.2], [1.0], [1.2], [0.1]])
    y = torch.tensor([0, 0, 1, 1, 0])
    assert unlabelled.circular(nearest_mean, x + 0.1, y, x, y) == 1
    assert unlabelled.circular(nearest_mean, x, 1 - y, x, y) == 0
    one = unlabelled.circular(nearest_mean, x, torch.zeros(5).long(), x, y)
    assert one == 0.5  # balanced: three of five rows are of that class


def test_regret_is_what_the_choice_costs():
    accuracies = [0.5, 0.75, 0.25]
    assert unlabelled.regret([1, 2, 3], accuracies) == 0.5
    assert unlabelled.regret([1, 2, 3], accuracies, high=False) == 0.25
    assert unlabelled.regret([2, 2, 1], accuracies) == 0.125
    assert unlabelled.regret([float("nan"), 2, 1], accuracies) == 0
    assert reason_of(unlabelled.regret([float("nan")], [0.5])) == "no candidate has a score"
    assert set(unlabelled.HIGH) == {
        "entropy", "information", "density", "weighted", "dev", "circular",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["entropy", "information", "density"])
def test_no_rows_have_no_score(name):
    assert reason_of(getattr(unlabelled, name)(torch.zeros(0, 3)))
