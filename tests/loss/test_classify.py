import pytest
import torch
from torch import nn

import reference
from holdfast.core.rows import Rows
from holdfast.core.step import Step
from holdfast.learner import Output
from holdfast.loss import CrossEntropy


def step(labels, classes, seen, width):
    y = torch.tensor(labels)
    logits = torch.randn(len(y), width, generator=torch.Generator().manual_seed(0))
    rows = Rows(torch.zeros(len(y), 1), y, torch.zeros_like(y), torch.arange(len(y)))
    out = Output(torch.zeros(len(y), 1), torch.zeros(len(y), 1), nn.Parameter(logits))
    return logits, Step({"batch": rows}, lambda x: out, classes=classes, seen=seen)


@pytest.mark.parametrize(
    "kind, compete", [("new", [2, 4]), ("seen", [0, 1, 2, 4]), ("all", [0, 1, 2, 3, 4, 5])]
)
def test_equals_its_twin(kind, compete):
    labels = [2, 4, 4, 0, 1, 2]
    logits, at = step(labels, classes=(2, 4), seen=(0, 1, 2, 4), width=6)
    twin = reference.cross_entropy(logits.tolist(), labels, compete)
    assert CrossEntropy(kind)(at).item() == pytest.approx(twin, abs=1e-6)


def test_a_batch_without_new_rows_costs_nothing():
    _, at = step([0, 1], classes=(2,), seen=(0, 1, 2), width=3)
    value = CrossEntropy("new")(at)
    assert float(value.detach()) == 0
    (slope,) = torch.autograd.grad(value, at["batch"].out.logits)
    assert not slope.any()


def test_only_all_needs_the_whole_head():
    assert [CrossEntropy(kind).whole_head for kind in ("new", "seen", "all")] == [
        False,
        False,
        True,
    ]
