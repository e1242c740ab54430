"""Subspaces: overlap against chance, and what gradient descent leaves where it was."""

import math

import pytest
import torch

from holdfast.metrics import frozen_part, frozen_share, left_basis, overlap
from holdfast.metrics.missing import reason_of


def basis(D, r, generator):
    return torch.linalg.qr(torch.randn(D, r, generator=generator, dtype=torch.float64))[0]


def test_chance_is_the_mean_overlap_of_random_subspaces():
    generator = torch.Generator().manual_seed(0)
    draws = [overlap(basis(50, 5, generator), basis(50, 10, generator)) for _ in range(500)]
    assert draws[0].chance == pytest.approx(0.2)
    assert sum(d.value for d in draws) / len(draws) == pytest.approx(0.2, abs=0.005)
    assert sum(d.corrected for d in draws) / len(draws) == pytest.approx(0, abs=0.006)


def test_equal_orthogonal_and_contained():
    whole = torch.eye(6, dtype=torch.float64)
    assert overlap(whole[:, :2], whole[:, :2])[::2] == pytest.approx((1, 1))
    assert overlap(whole[:, :2], whole[:, 3:5]).value == 0
    assert overlap(whole[:, :2], whole[:, :4]).value == pytest.approx(1)
    assert math.isnan(overlap(whole[:, :2], whole).corrected)
    assert reason_of(overlap(whole[:, :0], whole).value) == "one subspace is empty"


def test_a_basis_reaches_its_share_of_the_energy():
    matrix = torch.diag(torch.tensor([3.0, 2.0, 1.0]))  # shares 9, 4 and 1 of 14
    sizes = [left_basis(matrix, share).shape[1] for share in (0.5, 9 / 14, 0.8, 0.95, 1.0)]
    assert sizes == [1, 1, 2, 3, 3]
    assert left_basis(torch.zeros(3, 2)).shape == (3, 0)


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_what_descent_cannot_move(decay):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(4, 10, generator=generator, dtype=torch.float64)
    target = torch.randn(4, 3, generator=generator, dtype=torch.float64)
    w = torch.randn(3, 10, generator=generator, dtype=torch.float64)
    start, steps, lr = w.clone(), 30, 0.05
    for _ in range(steps):
        w = w - lr * ((x @ w.T - target).T @ x / 4 + decay * w)
    v = torch.linalg.svd(x, full_matrices=False)[2]
    outside = torch.eye(10, dtype=torch.float64) - v.T @ v
    torch.testing.assert_close(w @ outside, (1 - lr * decay) ** steps * (start @ outside))
    assert frozen_share(x) == pytest.approx(1 - 4 / 10)
    assert frozen_part(w, x) == pytest.approx(float((w @ outside).norm() / w.norm()))


def test_nothing_to_go_by_is_no_number():
    assert reason_of(frozen_share(torch.zeros(0, 3))) == "there are no rows"
    assert math.isnan(frozen_part(torch.ones(2, 3), torch.zeros(0, 3)))
    assert reason_of(frozen_part(torch.zeros(2, 3), torch.ones(1, 3))) == "the weight is 0"
    assert frozen_share(torch.zeros(2, 3)) == 1
