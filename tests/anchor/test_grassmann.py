"""Steps on planes: geodesics that stay orthonormal, and moves that change nothing."""

import math

import pytest
import torch
from torch.testing import assert_close

from clouds import normal
from holdfast.anchor import GrassmannStep, along_geodesic, orthonormal
from holdfast.anchor.rule import edited
from holdfast.core.errors import ConfigError
from holdfast.core.rows import Rows
from holdfast.core.step import Step
from holdfast.learner import Learner
from holdfast.loss import CrossEntropy


def frames(classes=3, k=2, f=5):
    return torch.linalg.qr(normal(0, classes, f, k))[0].mT


def test_one_direction_moves_along_a_great_circle():
    b, move = frames(k=1), 0.3 * normal(1, 3, 1, 5)
    found = along_geodesic(b, move)
    for start, along, end in zip(b[:, 0].tolist(), move[:, 0].tolist(), found[:, 0].tolist()):
        inside = sum(p * q for p, q in zip(start, along))
        t = [q - inside * p for p, q in zip(start, along)]
        length = math.sqrt(sum(v * v for v in t))
        twin = [math.cos(length) * p + math.sin(length) * v / length for p, v in zip(start, t)]
        assert end == pytest.approx(twin)


def test_a_small_move_is_its_part_out_of_the_plane_and_the_frame_stays_orthonormal():
    b, move = frames(), normal(1, 3, 2, 5)
    small = along_geodesic(b, 1e-6 * move)
    assert_close((small - b) / 1e-6, move - move @ b.mT @ b, rtol=1e-4, atol=1e-4)
    for _ in range(1000):
        b = along_geodesic(b, 0.1 * move)
    assert_close(b @ b.mT, torch.eye(2).double().expand(3, 2, 2), rtol=0, atol=1e-6)


def test_a_move_within_the_plane_moves_nothing():
    b = frames()
    assert torch.equal(along_geodesic(b, normal(2, 3, 2, 2) @ b), b) or bool(
        (along_geodesic(b, normal(2, 3, 2, 2) @ b) - b).abs().max() < 1e-12
    )
    assert torch.equal(along_geodesic(b, torch.zeros_like(b)), b)


def test_rounding_is_taken_out_of_the_same_plane():
    b = frames()
    shaken = b + 1e-4 * normal(3, 3, 2, 5)
    clean = orthonormal(shaken)
    assert_close(clean @ clean.mT, torch.eye(2).double().expand(3, 2, 2))
    assert_close(shaken @ clean.mT @ clean, shaken)
    assert float((clean - shaken).abs().max()) < 1e-3


def trained(optimizer, steps=40):
    torch.manual_seed(0)
    learner = Learner((6,), "mlp", 8, 4, 3, head="grassmann")
    x, y = normal(0, 30, 6).float(), torch.arange(30) % 3
    rows = Rows(x + 2 * torch.eye(6)[y], y, torch.zeros_like(y), torch.arange(30))
    rule, losses, move = GrassmannStep(), [], optimizer(learner.parameters())
    for _ in range(steps):
        step = Step({"batch": rows}, learner, classes=(0, 1, 2), seen=(0, 1, 2), learner=learner)
        loss = CrossEntropy()(step)
        move.zero_grad()
        loss.backward()
        with edited([rule], learner, step):
            move.step()
        losses.append(float(loss.detach()))
    return learner, losses


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda p: torch.optim.SGD(p, 0.02, momentum=0.9, weight_decay=0.1),
        lambda p: torch.optim.Adam(p, 0.01),
    ],
    ids=["sgd", "adam"],
)
def test_training_learns_and_every_frame_stays_orthonormal(optimizer):
    learner, losses = trained(optimizer)
    b = learner.head.weight.detach().view(3, learner.head.directions, learner.head.features)
    assert_close(b @ b.mT, torch.eye(b.shape[1]).expand(3, -1, -1), rtol=0, atol=1e-5)
    assert losses[-1] < 0.7 * losses[0]


def test_a_head_without_planes_is_refused():
    learner = Learner((6,), "mlp", 8, 4, 3)
    x, y = torch.zeros(3, 6), torch.arange(3)
    step = Step({"batch": Rows(x, y, y, y)}, learner, learner=learner)
    with pytest.raises(ConfigError, match="planes of head=grassmann"):
        GrassmannStep().update({"head.weight": torch.zeros(3, 8)}, step)
