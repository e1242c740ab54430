import pytest
import torch
from torch.testing import assert_close

import reference
from holdfast.anchor import relation_distillation
from holdfast.core.errors import ConfigError
from holdfast.learner import simplex_etf


def pair(n=6, d=5):
    return reference.unit_rows(n, d, 0), reference.unit_rows(n, d, 1)


@pytest.mark.parametrize("now, past", [(0.2, 0.01), (0.2, 0.2), (1.0, 0.1)])
@pytest.mark.parametrize("keyed", [False, True])
@pytest.mark.parametrize("n", [2, 3, 7])
def test_equals_its_twin(now, past, keyed, n):
    z, z_past = pair(n)
    keys = simplex_etf(4, 5, seed=2).double() if keyed else None
    twin = reference.relation_distillation(
        z.tolist(), z_past.tolist(), now, past, keys.tolist() if keyed else None
    )
    assert float(relation_distillation(z, z_past, now, past, keys)) == pytest.approx(twin, abs=1e-9)


@pytest.mark.parametrize("keyed", [False, True])
def test_gradients_are_right(keyed):
    z, z_past = pair()
    keys = simplex_etf(4, 5).double() if keyed else None
    assert torch.autograd.gradcheck(
        lambda z: relation_distillation(z, z_past, 0.5, 0.2, keys), z.requires_grad_()
    )


@pytest.mark.parametrize("keyed", [False, True])
def test_equal_temperatures_are_stationary_at_the_past_and_unequal_are_not(keyed):
    keys = simplex_etf(4, 5).double() if keyed else None
    norms = {}
    for past in (0.2, 0.05):
        z = pair()[0].requires_grad_()
        relation_distillation(z, z.detach(), 0.2, past, keys).backward()
        norms[past] = float(z.grad.norm())
    assert norms[0.2] < 1e-12
    assert norms[0.05] > 1e-2


def test_no_gradient_reaches_the_past():
    z, z_past = pair()
    z_past.requires_grad_()
    relation_distillation(z.requires_grad_(), z_past, 0.2, 0.1).backward()
    assert z_past.grad is None
    assert z.grad is not None


def test_bf16_is_computed_in_float32():
    z, z_past = (t.bfloat16() for t in pair())
    assert_close(
        relation_distillation(z, z_past, 0.2, 0.01),
        relation_distillation(z.float(), z_past.float(), 0.2, 0.01),
    )


def test_one_row_has_no_relations():
    z, z_past = pair(1)
    assert float(relation_distillation(z, z_past, 0.2, 0.1)) == 0


def test_a_temperature_of_zero_is_refused():
    with pytest.raises(ConfigError, match="past=0"):
        relation_distillation(*pair(), 0.2, 0)
