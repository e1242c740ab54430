"""Heads of cosines and of planes: what they say, how they grow, and what is stored of them."""

import pytest
import torch
from torch.testing import assert_close

from clouds import normal
from holdfast.core.errors import ConfigError
from holdfast.curvature.layers import rule_of
from holdfast.learner import CosineHead, GrassmannHead, GrowingHead, Learner, make_head
from holdfast.learner.heads import head_kind

X = normal(0, 5, 6).float()


def test_a_cosine_head_knows_no_length_and_no_bias():
    head = CosineHead(6, 3)
    twin = [[float(torch.cosine_similarity(x, w, dim=0)) for w in head.weight.detach()] for x in X]
    assert_close(head(X), 16 * torch.tensor(twin))
    before = head(X)
    with torch.no_grad():
        head.weight[1] *= 7
        head.bias.add_(3)
    assert_close(head(3 * X), before)
    head(X).sum().backward()
    assert head.bias.grad is None and float(head.scale.grad) != 0


def test_a_grassmann_head_is_the_angle_to_planes_and_knows_no_basis():
    head = GrassmannHead(6, 3)
    frames = head.weight.detach().view(3, 4, 6)
    assert_close(frames @ frames.mT, torch.eye(4).expand(3, 4, 4))
    twin = [
        [sum(float(b @ x) ** 2 for b in frame) ** 0.5 / float(x.norm()) for frame in frames]
        for x in X
    ]
    assert_close(head(X), 25 * torch.tensor(twin), rtol=1e-4, atol=1e-4)
    turn, before = torch.linalg.qr(normal(1, 4, 4).float())[0], head(X).detach()
    with torch.no_grad():
        head.weight.copy_((turn @ frames).flatten(1))
    assert_close(head(X), before, rtol=1e-4, atol=1e-4)
    assert GrassmannHead(2, 1).directions == 2


def test_the_plane_of_few_rows_holds_them():
    head = GrassmannHead(6, 1)
    for rows in (X[:2], X):
        plane = head.plane(rows, head.weight[0].detach()).view(4, 6)
        assert_close(plane @ plane.T, torch.eye(4), rtol=1e-5, atol=1e-5)
        leading = torch.linalg.svd(rows, full_matrices=False)[2][:4]
        assert_close(leading @ plane.T @ plane, leading, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["linear", "cosine", "grassmann"])
def test_old_classes_stay_when_new_ones_come_and_a_state_says_which_head(name):
    head = make_head(name, 6, 2)
    before, rows = head(X).detach(), head.weight.detach().clone()
    head.grow(5)
    assert head(X).shape == (5, 5)
    assert_close(head(X)[:, :2], before)
    assert torch.equal(head.weight[:2], rows)
    head.grow(1)
    assert len(head.bias) == 5
    learner = Learner((7,), "mlp", 4, 8, 3, head=name)
    assert head_kind(learner.state_dict()) == name
    past = learner.freeze()
    past.load_state_dict(learner.state_dict())
    assert type(past.head) is type(make_head(name, 6))


def test_a_linear_head_is_drawn_as_before():
    torch.manual_seed(3)
    head = GrowingHead(6, 4)
    torch.manual_seed(3)
    assert torch.equal(head.weight, torch.nn.Linear(6, 4).weight)


def test_only_a_linear_head_has_squares_of_a_linear_layer():
    assert rule_of(GrowingHead(6, 2)) is not None
    assert rule_of(CosineHead(6, 2)) is None is rule_of(GrassmannHead(6, 2))


def test_another_head_is_refused():
    with pytest.raises(ConfigError, match="unknown head 'cosin': did you mean 'cosine'"):
        make_head("cosin", 6)
