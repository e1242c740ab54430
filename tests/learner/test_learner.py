"""The learner: backbone, projector, growing head, and its frozen copy."""

import copy

import pytest
import torch
from torch.testing import assert_close

from holdfast.core.errors import ConfigError
from holdfast.core.numerics import log_clip
from holdfast.learner import ConvNet, GrowingHead, Learner, ResNet18, make_backbone


@pytest.fixture
def learner():
    torch.manual_seed(0)
    return Learner((1, 8, 8), width=4, dim=5, classes=3)


@pytest.fixture
def x():
    return torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(1))


def bits(module):
    return copy.deepcopy(module.state_dict())


def test_old_rows_of_the_head_stay_bit_for_bit_when_it_grows():
    head = GrowingHead(4, 2)
    weight, bias = head.weight.detach().clone(), head.bias.detach().clone()
    head.grow(5)
    assert head.weight.shape == (5, 4) and head.bias.shape == (5,)
    assert torch.equal(head.weight[:2], weight) and torch.equal(head.bias[:2], bias)
    assert head.weight.requires_grad and head.weight.is_leaf
    assert dict(head.named_parameters()).keys() == {"weight", "bias"}


def test_a_head_never_shrinks():
    head = GrowingHead(4, 5)
    weight = head.weight
    head.grow(2)
    assert head.weight is weight


def test_a_head_computes_weight_times_features_plus_bias():
    head = GrowingHead(3, 2)
    features = torch.tensor([[1.0, 2.0, 3.0]])
    weight, bias = head.weight.tolist(), head.bias.tolist()
    expected = [sum(w * f for w, f in zip(row, (1, 2, 3))) + b for row, b in zip(weight, bias)]
    assert_close(head(features).detach(), torch.tensor([expected]))


def test_a_head_of_no_class_gives_no_logit():
    assert GrowingHead(4)(torch.rand(3, 4)).shape == (3, 0)


def test_embeddings_are_unit_rows(learner, x):
    out = learner(x)
    assert out.features.shape == (6, 16)
    assert out.embedding.shape == (6, 5)
    assert out.logits.shape == (6, 3)
    assert_close(out.embedding.norm(dim=1), torch.ones(6))


def test_rows_of_an_output_are_rows_of_all_three(learner, x):
    out = learner.eval()(x)
    chosen = out.rows(torch.tensor([4, 1]))
    for whole, part in zip(out[:4], chosen[:4]):
        assert torch.equal(part, whole[[4, 1]])


@pytest.mark.parametrize("shape", [(3, 8, 8), (7,)])
def test_normalise_by_gives_every_channel_mean_0_and_deviation_1(shape):
    generator = torch.Generator().manual_seed(0)
    x = 5 + 3 * torch.randn(50, *shape, generator=generator)
    learner = Learner(shape, width=4)
    learner.normalise_by(x)
    seen = []
    learner.backbone.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    learner(x)
    per_channel = seen[0].transpose(0, 1).flatten(1)
    assert_close(per_channel.mean(1), torch.zeros(shape[0]), atol=1e-5, rtol=0)
    assert_close(per_channel.std(1, correction=0), torch.ones(shape[0]), atol=1e-3, rtol=0)


@pytest.mark.parametrize("shape", [(1, 8, 8), (7,)])
def test_a_constant_channel_stays_finite(shape):
    learner = Learner(shape, width=4, classes=2)
    learner.normalise_by(torch.full((4, *shape), 0.5))
    assert all(bool(column.isfinite().all()) for column in learner(torch.rand(4, *shape))[:4])


@pytest.mark.parametrize("shape", [(1, 8, 8), (7,)])
def test_normalising_by_one_input_stays_finite(shape):
    learner = Learner(shape, width=4, classes=2)
    learner.normalise_by(torch.rand(1, *shape))
    assert all(bool(column.isfinite().all()) for column in learner(torch.rand(4, *shape))[:4])


def test_a_constant_feature_takes_the_deviation_of_the_others():
    learner = Learner((3,), width=4)
    learner.normalise_by(torch.tensor([[0.0, 7.0, 10.0], [2.0, 7.0, 16.0]]))
    assert learner.mean.tolist() == [1.0, 7.0, 13.0] and learner.std.tolist() == [1.0, 2.0, 3.0]


def test_a_single_row_leaves_its_size_and_not_itself():
    learner = Learner((2,), width=4)
    learner.normalise_by(torch.tensor([[3.0, 4.0]]))
    assert learner.mean.tolist() == [0.0, 0.0]
    assert_close(learner.std.float(), torch.full((2,), 12.5**0.5))


def test_values_far_off_are_reined_in_smoothly_and_in_order():
    x = torch.linspace(-500, 500, 20_001, dtype=torch.float64)[None].requires_grad_()
    y = log_clip(x)
    low = y.detach()
    assert torch.equal(y[x.abs() <= 5], x[x.abs() <= 5])
    assert float(low.abs().max()) < 12 and bool((low.diff() > 0).all())
    (slope,) = torch.autograd.grad(y.sum(), x)
    assert float(slope.diff().abs().max()) < 0.06  # no kink: the slope is 1 on both sides of 5


def test_the_normalisation_is_state_but_not_trained(learner):
    assert {"mean", "std"} <= learner.state_dict().keys()
    assert not {"mean", "std"} & {name for name, _ in learner.named_parameters()}


def test_a_frozen_copy_says_what_the_learner_says_in_eval_mode(learner, x):
    learner(x)  # running statistics move away from their start
    past = learner.freeze()
    for now, then in zip(learner.eval()(x)[:4], past(x)[:4]):
        assert torch.equal(now, then)


def test_a_frozen_copy_in_batch_mode_says_what_the_learner_says_in_train_mode(learner, x):
    learner(x)
    past = learner.freeze("batch")
    for now, then in zip(learner.train()(x), past(x)):
        assert_close(now, then)


def test_the_two_modes_differ(learner, x):
    learner(x)
    gap = learner.freeze("eval")(x).features - learner.freeze("batch")(x).features
    assert float(gap.abs().max()) > 1e-3


@pytest.mark.parametrize("mode", ["eval", "batch"])
def test_seeing_a_batch_changes_nothing_in_a_frozen_copy(learner, x, mode):
    past = learner.freeze(mode)
    before = bits(past)
    first = past(x)
    past(torch.rand(9, 1, 8, 8))
    assert before.keys() == past.state_dict().keys()
    assert all(torch.equal(before[name], value) for name, value in past.state_dict().items())
    assert torch.equal(first.features, past(x).features)


@pytest.mark.parametrize("mode", ["eval", "batch"])
def test_no_gradient_reaches_a_frozen_copy(learner, x, mode):
    past = learner.freeze(mode)
    assert not any(p.requires_grad for p in past.parameters())
    assert not past(x).logits.requires_grad


@pytest.mark.parametrize("mode", ["eval", "batch"])
def test_freezing_leaves_the_learner_alone(learner, x, mode):
    learner.train()
    before = bits(learner)
    past = learner.freeze(mode)
    assert learner.training and all(p.requires_grad for p in learner.parameters())
    assert all(torch.equal(before[name], value) for name, value in learner.state_dict().items())
    with torch.no_grad():
        for p in learner.parameters():
            p.add_(1)
    assert torch.equal(past.head.weight, before["head.weight"])


@pytest.mark.parametrize(
    "name, shape, width, features",
    [
        ("resnet18", (3, 16, 16), 4, 32),
        ("resnet18", (1, 8, 8), 2, 16),
        ("convnet", (1, 8, 8), 4, 16),
        ("convnet", (3, 12, 9), 2, 8),
        ("mlp", (7,), 5, 5),
    ],
)
def test_backbones_map_inputs_to_their_width(name, shape, width, features):
    network = make_backbone(name, shape, width)
    assert network.features == features
    assert network(torch.rand(2, *shape)).shape == (2, features)


@pytest.mark.parametrize(
    "shape, features", [((64,), 256), ((1, 8, 8), 128), ((3, 16, 16), 128), ((3, 32, 32), 512)]
)
def test_auto_chooses_a_backbone_by_the_shape_in_its_own_width(shape, features):
    assert make_backbone("auto", shape).features == features


def test_the_resnet_has_the_published_size():
    """11.17 million weights without the classifier: the CIFAR variant of ResNet-18."""
    assert sum(p.numel() for p in ResNet18().parameters()) == 11_168_832


def test_a_convnet_is_trained_through_every_weight():
    network = ConvNet(2)
    network(torch.rand(4, 1, 8, 8)).square().sum().backward()
    assert all(p.grad is not None and bool(p.grad.any()) for p in network.parameters())


def test_an_unknown_backbone_is_refused_with_the_nearest_name():
    with pytest.raises(ConfigError, match="did you mean 'resnet18'"):
        make_backbone("resnet8", (3, 32, 32))


@pytest.mark.parametrize("name, shape", [("mlp", (3, 8, 8)), ("convnet", (8,)), ("resnet18", (8,))])
def test_a_backbone_for_other_inputs_is_refused(name, shape):
    with pytest.raises(ConfigError, match=f"'{name}' does not take inputs of shape"):
        make_backbone(name, shape)
