"""Losses that keep features from collapsing: against their twins, and where they rest."""

import math

import pytest
import torch
from torch.testing import assert_close

import reference_strict as reference
from checker import unchecked
from clouds import normal
from holdfast.core.errors import ConfigError, DataError
from holdfast.core.step import Step
from holdfast.learner import Output
from holdfast.loss import AntiCollapse, CodingRate, anti_collapse, coding_rate


def unit(seed, n, d):
    return torch.nn.functional.normalize(normal(seed, n, d), dim=1)


def whitened(n=12, f=4):
    """Rows whose covariance is the identity."""
    away = normal(0, n, f) - normal(0, n, f).mean(0)
    root = torch.linalg.cholesky(away.T @ away / (n - 1))
    return torch.linalg.solve_triangular(root, away.T, upper=False).T


def step_of(h, y=None):
    from holdfast.core.rows import Rows

    n = len(h)
    y = torch.zeros(n, dtype=torch.long) if y is None else y
    rows = Rows(torch.zeros(n, 1), y, torch.zeros(n).long(), torch.arange(n))
    seen = tuple(sorted({*y.tolist()}))
    return Step({"batch": rows}, lambda x: Output(h, h, h), classes=seen, seen=seen)


# anti-collapse


@pytest.mark.parametrize("beta, jitter", [(1.0, 1e-6), (0.6, 0.2)])
def test_anti_collapse_equals_its_twin(beta, jitter):
    h = normal(1, 9, 4)
    twin = reference.anti_collapse(h.tolist(), beta, jitter)
    assert float(anti_collapse(h, beta, jitter)) == pytest.approx(twin)


def test_white_features_are_enough_and_pull_no_more():
    h = (1.1 * whitened()).requires_grad_()
    value = anti_collapse(h)
    value.backward()
    assert float(value.detach()) == -1 and not bool(h.grad.any())
    less = (0.9 * whitened()).requires_grad_()
    anti_collapse(less).backward()
    assert float((less.grad * less.detach()).sum()) < 0  # lower by being larger


def test_the_order_of_the_features_counts_but_for_white_ones():
    h = normal(1, 9, 4)
    assert float((anti_collapse(h, 9.0) - anti_collapse(h.flip(1), 9.0)).abs()) > 1e-3
    assert_close(anti_collapse(whitened(), 9.0), anti_collapse(whitened().flip(1), 9.0))


def test_gradients_of_anti_collapse_are_right():
    assert torch.autograd.gradcheck(
        lambda h: anti_collapse(h, 0.9), normal(1, 9, 4).requires_grad_()
    )


def test_rows_of_too_small_a_rank_stay_finite():
    h = normal(1, 3, 1).repeat(1, 5).requires_grad_()
    value = anti_collapse(h)
    value.backward()
    assert bool(value.isfinite()) and bool(h.grad.isfinite().all())
    assert float(anti_collapse(normal(1, 1, 3))) == 0


def test_a_batch_with_fewer_rows_than_features_asks_a_block_of_them():
    h, term = normal(2, 8, 30).requires_grad_(), AntiCollapse(0.8, 1e-3)
    blocks = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        (grad,) = torch.autograd.grad(term(step_of(h)), h)
        blocks.append(frozenset(grad.any(0).nonzero()[:, 0].tolist()))
    assert blocks[0] == blocks[1] != blocks[2] and 1 <= len(blocks[0]) <= 4
    torch.manual_seed(1)
    chosen = torch.randperm(30)[:4]
    torch.manual_seed(1)
    assert_close(term(step_of(h)), anti_collapse(h[:, chosen], 0.8, 1e-3))
    enough = normal(3, 9, 4)
    assert_close(term(step_of(enough)), anti_collapse(enough, 0.8, 1e-3))
    assert float(term(step_of(normal(3, 2, 4)))) == 0


# coding rate


@pytest.mark.parametrize("n, d", [(9, 4), (5, 7)])
@pytest.mark.parametrize("labels", [True, False])
def test_the_coding_rate_equals_its_twin_by_rows_and_by_columns(n, d, labels):
    z, y = unit(0, n, d), torch.arange(n) % 3
    twin = reference.coding_rate(z.tolist(), y.tolist() if labels else None, 0.3)
    assert float(coding_rate(z, y if labels else None, 0.3)) == pytest.approx(twin)


def test_its_value_where_it_is_known():
    d, epsilon = 4, 0.5
    z, y = torch.eye(d, dtype=torch.float64).repeat(3, 1), torch.arange(d).repeat(3)
    whole = d / 2 * math.log(1 + 1 / epsilon) - 0.5 * math.log(1 + d / epsilon)
    assert float(coding_rate(z, y, epsilon)) == pytest.approx(whole)
    assert float(coding_rate(z, torch.zeros(12).long(), epsilon)) == pytest.approx(0)
    same = unit(1, 1, 4).expand(6, -1)
    assert float(coding_rate(same, torch.arange(6) % 2, epsilon)) == pytest.approx(0)


def test_it_does_not_change_with_a_rotation_an_order_or_classes_without_rows():
    z, y = unit(0, 9, 4), torch.arange(9) % 3
    turn, order = torch.linalg.qr(normal(3, 4, 4))[0], torch.randperm(9)
    expected = coding_rate(z, y)
    assert_close(coding_rate(z @ turn, y), expected)
    assert_close(coding_rate(z[order], y[order]), expected)
    assert_close(coding_rate(z, y, classes=torch.arange(7)), expected)


def test_gradients_of_the_coding_rate_are_right():
    y = torch.arange(9) % 3
    for d in (4, 12):
        z = unit(0, 9, d).requires_grad_()
        assert torch.autograd.gradcheck(lambda z: coding_rate(z, y, 0.3), z)


def test_the_term_is_to_be_lowered():
    z, y = unit(0, 9, 4), torch.arange(9) % 3
    assert_close(CodingRate(0.3)(step_of(z, y)), -coding_rate(z, y, 0.3))
    assert_close(CodingRate(0.3, compress=False)(step_of(z, y)), -coding_rate(z, None, 0.3))


def test_what_cannot_be_is_refused():
    with pytest.raises(ConfigError, match="must be positive, not 0"):
        AntiCollapse(0.0)
    with pytest.raises(ConfigError, match="epsilon must be positive, not -1"):
        CodingRate(-1.0)
    with pytest.raises(ConfigError, match="unknown feature space 'logits'"):
        unchecked(AntiCollapse.__init__)(AntiCollapse(), of="logits")
    with pytest.raises(DataError, match="3 rows need labels"):
        unchecked(coding_rate)(torch.eye(3), torch.arange(2))
