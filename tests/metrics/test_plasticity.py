"""Plasticity against stability, from matrices whose figures are known."""

import math

import pytest
import torch

from holdfast.metrics.missing import reason_of
from holdfast.metrics.plasticity import balance

NAN = math.nan
MATRIX = torch.tensor([[0.9, NAN, NAN], [0.8, 1.0, NAN], [0.5, 0.7, 0.6]])
SIZES = torch.tensor([100.0, 50.0, 200.0])


def test_figures_by_hand():
    some = balance(MATRIX, torch.tensor([0.9, 1.0, 0.9]), SIZES)
    assert some.plasticity == pytest.approx(2.5 / 3)
    assert some.forgetting == pytest.approx((0.4 + 0.3) / 2)
    assert some.stability == pytest.approx(1 - 0.35 / (2.5 / 3))
    assert some.intransigence == pytest.approx(0.3 / 3)
    variance = (0.9 * 0.1 + 0.5 * 0.5) / 100 + (0 + 0.7 * 0.3) / 50
    assert some.forgetting_error == pytest.approx(math.sqrt(variance) / 2)
    assert some.anchor == "both"


@pytest.mark.parametrize(
    ("last", "learned", "verdict"),
    [(0.5, 0.99, "too little"), (0.99, 0.5, "too much"), (0.99, 0.99, "neither")],
)
def test_the_verdict_falls_every_way(last, learned, verdict):
    matrix = torch.tensor([[0.99, NAN], [last, learned]])
    assert balance(matrix, torch.tensor([0.99, 0.99]), SIZES[:2]).anchor == verdict


def test_a_joint_run_of_one_task_loses_nothing():
    one = balance(torch.tensor([[0.8]]), torch.tensor([0.8]), SIZES[:1])
    assert one.intransigence == 0 and one.anchor == ""
    assert reason_of(one.forgetting) == reason_of(one.stability) == "there is one task"
    assert reason_of(balance(MATRIX).intransigence) == "there is no reference run"
    assert balance(MATRIX).anchor == ""
