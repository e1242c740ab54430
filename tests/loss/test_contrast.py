import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

import reference
from holdfast.core.errors import ConfigError
from holdfast.learner import simplex_etf
from holdfast.loss import focal_collapse, sup_con
from holdfast.loss.contrast import focal_rows

LABELS = {
    "two views each": [0, 1, 2, 0, 1, 2],
    "one class": [1, 1, 1, 1],
    "all different": [0, 1, 2, 3],
    "one image": [2, 2],
    "one positive pair": [0, 3, 3, 1, 2],
}
CASES = pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS.keys())


def frame(k=5, d=7):
    return simplex_etf(k, d, seed=3).double()


@CASES
@pytest.mark.parametrize("average", ["anchors", "rows"])
@pytest.mark.parametrize("masked", [False, True])
def test_sup_con_equals_its_twin(labels, average, masked):
    z, y = reference.unit_rows(len(labels), 7, seed=1), torch.tensor(labels)
    anchors = y > 0 if masked else torch.ones_like(y, dtype=torch.bool)
    twin = reference.sup_con(z.tolist(), labels, 0.3, anchors.tolist(), 1.7, average)
    ours = sup_con(z, y, 0.3, anchors, 1.7, average)
    assert float(ours) == pytest.approx(twin, abs=1e-9)


@CASES
@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 4.0])
@pytest.mark.parametrize("denominator", ["closed", "open"])
@pytest.mark.parametrize("old", [(), (0, 4)])
@pytest.mark.parametrize("average", ["anchors", "rows"])
@pytest.mark.parametrize("tau", [0.1, 0.5])
def test_focal_collapse_equals_its_twin(labels, gamma, denominator, old, average, tau):
    z, y, q = reference.unit_rows(len(labels), 7, seed=2), torch.tensor(labels), frame()
    anchors = y != 1
    rest = (denominator, 0.5, average)
    twin = reference.focal_collapse(
        z.tolist(), labels, q.tolist(), tau, gamma, old, anchors.tolist(), *rest
    )
    assert float(focal_collapse(z, y, q, tau, gamma, old, anchors, *rest)) == pytest.approx(
        twin, abs=1e-9
    )


@settings(deadline=None, max_examples=60)
@given(
    labels=st.lists(st.integers(0, 4), min_size=2, max_size=9),
    gamma=st.sampled_from([0.0, 0.3, 1.0, 2.0]),
    tau=st.floats(0.05, 2.0),
    old=st.sets(st.integers(0, 4)),
    denominator=st.sampled_from(["closed", "open"]),
    seed=st.integers(0, 10),
)
def test_focal_collapse_equals_its_twin_anywhere(labels, gamma, tau, old, denominator, seed):
    z, y, q = reference.unit_rows(len(labels), 7, seed), torch.tensor(labels), frame()
    anchors = [True] * len(labels)
    twin = reference.focal_collapse(
        z.tolist(),
        labels,
        q.tolist(),
        tau,
        gamma,
        sorted(old),
        anchors,
        denominator,
        1.0,
        "anchors",
    )
    ours = focal_collapse(z, y, q, tau, gamma, sorted(old), denominator=denominator)
    assert float(ours) == pytest.approx(twin, abs=1e-9)


def test_sup_con_equals_pytorch_metric_learning():
    losses = pytest.importorskip("pytorch_metric_learning.losses")
    for seed, tau in ((0, 0.1), (1, 0.5), (2, 0.07)):
        z, y = reference.unit_rows(24, 16, seed), torch.arange(24) % 5
        assert_close(sup_con(z, y, tau), losses.SupConLoss(temperature=tau)(z, y))


def test_without_focus_prototypes_and_old_classes_it_is_sup_con():
    """gamma = 0 and no prototypes: what is left of L_i, times (|P|+1)/|P|, is SupCon."""
    z, y, q = reference.unit_rows(12, 7, 5), torch.arange(12) % 3, frame()
    tau, positives = 0.4, 3
    loss = focal_rows(z, y, q, tau, 0.0, (), "open").loss
    own = (z * q[y]).sum(1) / tau
    log_d = (z @ z.T / tau).fill_diagonal_(-torch.inf).logsumexp(1)
    only_samples = (loss * (positives + 1) + (own - log_d)) / positives
    assert_close(only_samples.mean(), sup_con(z, y, tau))


def test_old_prototypes_repel():
    """One gradient step on the loss moves the rows away from old prototypes, and not without."""
    q, y = frame(), torch.tensor([3, 4, 3, 4])
    moved = {}
    for old in ((), (0, 1)):
        z = reference.unit_rows(4, 7, 1).requires_grad_()
        focal_collapse(z, y, q, 0.2, 1.0, old).backward()
        moved[old] = -(z.grad @ q[[0, 1]].T).sum()
    assert moved[0, 1] < moved[()]


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 4.0])
@pytest.mark.parametrize("denominator", ["closed", "open"])
def test_gradients_are_right(gamma, denominator):
    z, y, q = (
        reference.unit_rows(6, 7, 4).requires_grad_(),
        torch.tensor([0, 1, 2, 0, 1, 2]),
        frame(),
    )
    anchors = y < 2
    assert torch.autograd.gradcheck(
        lambda z: focal_collapse(z, y, q, 0.5, gamma, (3, 4), anchors, denominator), z
    )
    assert torch.autograd.gradcheck(lambda z: sup_con(z, y, 0.5, anchors), z)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 4.0])
@pytest.mark.parametrize("denominator", ["closed", "open"])
@pytest.mark.parametrize("tau", [0.01, 0.5])
def test_finite_where_rows_and_prototypes_coincide(dtype, gamma, denominator, tau):
    """Collapsed batches: every row on its prototype, or all rows on one point."""
    q = frame().to(dtype)
    y = torch.tensor([0, 1, 0, 1])
    for start in (q[y], q[[2, 2, 2, 2]], q[[1, 0, 1, 0]]):
        z = start.clone().requires_grad_()
        loss = focal_collapse(z, y, q, tau, gamma, (2,), denominator=denominator)
        loss.backward()
        assert torch.isfinite(loss)
        assert torch.isfinite(z.grad).all()


def test_bf16_is_computed_in_float32():
    z, y, q = reference.unit_rows(8, 7, 1).bfloat16(), torch.arange(8) % 4, frame().bfloat16()
    assert_close(
        focal_collapse(z, y, q, 0.1, 1.0, (4,)),
        focal_collapse(z.float(), y, q.float(), 0.1, 1.0, (4,)),
    )
    assert sup_con(z, y, 0.1).dtype == torch.float32


def test_no_anchor_gives_zero_with_a_graph():
    z = reference.unit_rows(4, 7, 1).requires_grad_()
    none = torch.zeros(4, dtype=torch.bool)
    loss = focal_collapse(z, torch.arange(4), frame(), 0.5, 1.0, anchors=none) + sup_con(
        z, torch.arange(4), 0.5, none
    )
    loss.backward()
    assert loss.item() == 0 and z.grad.abs().max() == 0


def test_focal_weight_is_reported_and_lies_in_the_unit_interval():
    z, y, q = reference.unit_rows(10, 7, 1), torch.arange(10) % 2, frame()
    weights = {gamma: focal_rows(z, y, q, 0.5, gamma)[1] for gamma in (0.0, 1.0, 4.0)}
    assert_close(weights[0.0], torch.ones(10).double())
    assert (weights[4.0] < weights[1.0]).all() and (weights[4.0] > 0).all()


def test_a_temperature_of_zero_is_refused():
    with pytest.raises(ConfigError, match="tau=0"):
        sup_con(reference.unit_rows(2, 3, 0), torch.tensor([0, 0]), 0)
