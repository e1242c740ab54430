"""A linear layer that forgets rows by one Newton step: against layers fitted without them."""

import pytest
import torch
from torch.nn import functional
from torch.testing import assert_close

import reference_unlearning as twin
from holdfast.core.errors import ConfigError
from holdfast.readout.newton import newton_unlearned


def rows(n=40, f=4, classes=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(classes, (n,), generator=generator)
    middle = torch.randn(classes, f, generator=generator, dtype=torch.float64)
    x = middle[y] + torch.randn(n, f, generator=generator, dtype=torch.float64)
    return torch.cat([x, torch.ones(n, 1, dtype=torch.float64)], 1), y


def ridge(x, y, decay, classes=3):
    target = functional.one_hot(y, classes).double()
    return torch.linalg.solve(x.T @ x + decay * torch.eye(x.shape[1]).double(), x.T @ target).T


def softmax(x, y, decay, classes=3):
    """The least by Newton's method, to rounding."""
    w = torch.zeros(classes, x.shape[1], dtype=torch.float64)
    loss = lambda v: (
        functional.cross_entropy(x @ v.view_as(w).T, y, reduction="sum")
        + decay / 2 * v.square().sum()
    )
    flat = w.flatten()
    for _ in range(30):
        gradient = torch.autograd.functional.jacobian(loss, flat)
        hessian = torch.autograd.functional.hessian(loss, flat)
        flat = flat - torch.linalg.solve(hessian, gradient)
    assert float(torch.autograd.functional.jacobian(loss, flat).norm()) < 1e-9
    return flat.view_as(w)


@pytest.mark.parametrize("decay", [0.1, 3.0])
@pytest.mark.parametrize("count", [1, 7])
def test_a_ridge_that_forgot_is_the_refit(decay, count):
    x, y = rows()
    before = ridge(x, y, decay)
    found = newton_unlearned(before, (x[count:], y[count:]), (x[:count], y[:count]), "ridge", decay)
    assert_close(found, ridge(x[count:], y[count:], decay), rtol=1e-10, atol=1e-10)
    prediction = x @ found.T  # f^ that would be matched
    assert_close(prediction, x @ ridge(x[count:], y[count:], decay).T, rtol=1e-8, atol=1e-8)


def test_with_the_hessian_of_all_rows_it_is_short_by_the_leverage():
    x, y = rows()
    decay, one = 0.5, x[0]
    before, after = ridge(x, y, decay), ridge(x[1:], y[1:], decay)
    full = x.T @ x + decay * torch.eye(5).double()
    leverage = float(one @ torch.linalg.solve(full, one))
    error = before @ one - functional.one_hot(y[:1], 3)[0].double()
    influence = torch.outer(error, torch.linalg.solve(full, one))
    assert leverage > 0.01
    assert_close(influence, (1 - leverage) * (after - before), rtol=1e-9, atol=1e-12)


def test_a_softmax_that_forgot_is_the_refit_up_to_the_square_of_the_rows():
    x, y = rows(200)
    before = softmax(x, y, 1.0)
    for count in (1, 2, 4, 8):
        found = newton_unlearned(
            before, (x[count:], y[count:]), (x[:count], y[:count]), "softmax", 1.0
        )
        after = softmax(x[count:], y[count:], 1.0)
        error, move = float((found - after).norm()), float((before - after).norm())
        assert error < move**2 and error < 0.05 * move


def test_the_step_for_a_softmax_is_that_of_its_gradient_and_curvature():
    """H' dw = sum_F grad l, with H' by automatic differentiation of the kept rows."""
    x, y = rows(12, 2)
    w = torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    found = newton_unlearned(w, (x[3:], y[3:]), (x[:3], y[:3]), "softmax", 0.7)
    loss = lambda v: (
        functional.cross_entropy(x[3:] @ v.view_as(w).T, y[3:], reduction="sum")
        + (0.35 * v.square().sum())
    )
    hessian = torch.autograd.functional.hessian(loss, w.flatten())
    total = sum(
        torch.tensor(twin.softmax_loss_gradient(w.tolist(), row, k), dtype=torch.float64)
        for row, k in zip(x[:3].tolist(), y[:3].tolist())
    )
    assert_close(hessian @ (found - w).flatten(), total.flatten(), rtol=1e-9, atol=1e-9)


def test_nothing_to_forget_changes_nothing_and_no_row_kept_is_refused():
    x, y = rows()
    w = ridge(x, y, 1.0)
    assert newton_unlearned(w, (x, y), (x[:0], y[:0])) is w
    with pytest.raises(ConfigError, match="the rows that are kept, and there are none"):
        newton_unlearned(w, (x[:0], y[:0]), (x, y))
    with pytest.raises(ConfigError, match="must be positive, not 0"):
        newton_unlearned(w, (x, y), (x, y), decay=0)
    with pytest.raises(ConfigError, match="unknown loss 'hinge'"):
        newton_unlearned(w, (x, y), (x, y), "hinge")
