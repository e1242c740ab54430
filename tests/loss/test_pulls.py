"""Which pulls act in FNC2, each against a slow twin, and misplaced prototypes."""

import pytest
import torch
from torch.testing import assert_close

import reference
import reference_studies
from holdfast.core.errors import ConfigError
from holdfast.core.output import Output
from holdfast.core.rows import Rows
from holdfast.core.step import Step
from holdfast.learner import Frame, simplex_etf
from holdfast.loss import FocalCollapse, Pulls, focal_collapse, sup_con

LABELS = [[0, 1, 2, 0, 1, 2], [1, 1, 1], [0, 1, 2, 3], [0, 3, 3, 1, 2]]
WAYS = [
    (True, True, 3.0), (True, True, 0.0), (True, False, None), (False, True, None), (False, True, 2.0),
]  # fmt: skip


@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("denominator", ["closed", "open"])
@pytest.mark.parametrize("average", ["anchors", "rows"])
def test_each_pull_equals_its_twin(labels, way, denominator, average):
    z, y, q = (
        reference.unit_rows(len(labels), 7, 3),
        torch.tensor(labels),
        simplex_etf(5, 7, 3).double(),
    )
    gamma, anchors, old = 1.5, y != 2, (0, 4)
    pulls = (way[0], way[1], gamma if way[2] is None else way[2])
    args = (0.4, gamma, old, anchors.tolist(), denominator, average)
    twin = reference_studies.pulled_collapse(z.tolist(), labels, q.tolist(), *args, pulls)
    args = (0.4, gamma, old, anchors, denominator, 1.0, average)
    ours = focal_collapse(z, y, q, *args, pulls=Pulls(*way))
    assert float(ours) == pytest.approx(twin, abs=1e-9)


def test_without_the_prototype_and_a_focus_it_is_sup_con():
    z, y, q = reference.unit_rows(9, 7, 5), torch.arange(9) % 4, simplex_etf(5, 7).double()
    plain = focal_collapse(z, y, q, 0.3, 0.0, pulls=Pulls(prototype=False))
    assert_close(plain, sup_con(z, y, 0.3))


@pytest.mark.parametrize("way", WAYS)
def test_slopes_of_each_pull_are_right(way):
    z, q = reference.unit_rows(6, 7, 4).requires_grad_(), simplex_etf(5, 7).double()
    y = torch.tensor([0, 1, 2, 0, 1, 2])
    assert torch.autograd.gradcheck(
        lambda z: focal_collapse(z, y, q, 0.5, 2.0, (3,), pulls=Pulls(*way)), z
    )


def test_something_must_pull():
    with pytest.raises(ConfigError, match="pulled by pairs, by its prototype"):
        Pulls(pairs=False, prototype=False)
    with pytest.raises(ConfigError):
        Pulls(gamma=-1.0)


def step_of(z, y, classes, seen):
    """An update that sees these embeddings."""
    n = len(z)
    zero = torch.zeros(n, dtype=torch.long)
    rows = Rows(torch.zeros(n, 1), y, zero + 1, torch.arange(n))
    out = Output(z, z, torch.zeros(n, 0))
    return Step({"batch": rows}, lambda x: out, None, 1, classes, seen)


def test_misplaced_prototypes_repel_from_vertices_of_no_class():
    frame, y = Frame(16), torch.tensor([2, 3, 2, 3])
    z = reference.unit_rows(4, 16, 1).float()
    step = step_of(z, y, (2, 3), (0, 1, 2, 3))
    value = FocalCollapse(frame, 0.5, 1.0, misplaced=True)(step)
    twin = focal_collapse(z, y, frame.vectors, 0.5, 1.0, (16, 15))
    assert_close(value, twin)
    right = FocalCollapse(frame, 0.5, 1.0)(step)
    assert abs(float(value - right)) > 1e-4
    assert set(frame.opposite(torch.tensor([0, 1])).tolist()) == {16, 15}


def test_misplaced_prototypes_need_room_and_something_that_repels():
    with pytest.raises(ConfigError, match="none repels"):
        FocalCollapse(Frame(16), old_prototypes=False, misplaced=True)
    step = step_of(torch.eye(4), torch.tensor([2, 3, 2, 3]), (2, 3), (0, 1, 2, 3))
    with pytest.raises(ConfigError, match="twice as many vertices, and this one has 4"):
        FocalCollapse(Frame(4, classes=4), misplaced=True)(step)


def test_weights_of_both_pulls_are_noted():
    y = torch.tensor([2, 3, 2, 3])
    step = step_of(reference.unit_rows(4, 16, 1).float(), y, (2, 3), (0, 1, 2, 3))
    FocalCollapse(Frame(16), 0.5, 0.0, pulls=Pulls(gamma=4.0))(step)
    weights = {name: float(value) for name, value in step.records.items()}
    assert 0 < weights["pull_weight"] < weights["focal_weight"] < 1
    assert weights["focal_weight"] == pytest.approx((1 + weights["pull_weight"]) / 2, abs=1e-6)


def test_settings_that_are_as_ever_stand_in_no_runs_identity():
    usual, other = FocalCollapse(Frame(8)), FocalCollapse(Frame(8), pulls=Pulls(pairs=False))
    assert "pulls" not in vars(usual) and "misplaced" not in vars(usual)
    assert vars(other)["pulls"] == Pulls(pairs=False)
