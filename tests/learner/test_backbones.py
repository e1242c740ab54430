"""Backbones from outside: ONNX files, functions, modules, embeddings; how images are to be prepared."""

import copy
import pickle
import sys
import types

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close

from holdfast import Continual, recipes
from holdfast.core.errors import ConfigError, PluginError, StoreError
from holdfast.core.registry import closed
from holdfast.core.settings import Network
from holdfast.learner import Learner, make_backbone
from holdfast.learner.backbone import BasicBlock
from holdfast.learner.linked import linked_weights
from holdfast.learner.preparation import Preparation
from holdfast.testing import check_backbone
from holdfast.train.setup import Setup

SHAPE = (3, 8, 8)


def pooled(x):
    return torch.cat([x.mean((2, 3)), x.amax((2, 3))], 1)


def module(monkeypatch, **parts):
    made = types.ModuleType("own_networks")
    made.__spec__ = types.SimpleNamespace(name="own_networks")
    for name, part in parts.items():
        setattr(made, name, part)
    monkeypatch.setitem(sys.modules, "own_networks", made)


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 3)

    def forward(self, x):
        return self.conv(x).mean((2, 3))


def onnx_file(path, kind=torch.float32, batch="n", out="features"):
    """Channel means of the input, twice each, as an ONNX graph."""
    onnx = pytest.importorskip("onnx")
    helper, numbers = onnx.helper, onnx.TensorProto
    given = numbers.UINT8 if kind == torch.uint8 else numbers.FLOAT
    nodes = [
        helper.make_node("Cast", ["x"], ["y"], to=numbers.FLOAT),
        helper.make_node("ReduceMean", ["y"], ["m"], axes=[2, 3], keepdims=0),
        helper.make_node("Concat", ["m", "m"], ["features"], axis=1),
    ]
    graph = helper.make_graph(
        nodes if out == "features" else nodes[:1],
        "net",
        [helper.make_tensor_value_info("x", given, [batch, 3, 8, 8])],
        [helper.make_tensor_value_info(out, numbers.FLOAT, None)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, str(path))
    return path


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    pytest.importorskip("onnxruntime")
    return onnx_file(tmp_path_factory.mktemp("onnx") / "net.onnx")


def test_an_onnx_file_gives_its_features(file):
    network = make_backbone(f"onnx:{file}:mean=0.5,0.4,0.3:std=0.2,0.3,0.4", SHAPE)
    x = torch.rand(3, *SHAPE)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in ((0.5, 0.4, 0.3), (0.2, 0.3, 0.4)))
    expected = ((x - mean) / std).mean((2, 3)).repeat(1, 2)
    assert_close(network(x), expected, rtol=1e-5, atol=1e-5)
    assert (network.features, network.size, network.fit, network.resize) == (6, 8, "crop", 9)
    assert network.frozen and len(network.sha256) == 64


def test_an_onnx_backbone_obeys_its_laws(file):
    check_backbone(f"onnx:{file}", SHAPE)


@pytest.mark.parametrize("inputs", [1, 3, 6])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_narrow_shortcut_is_a_strided_convolution(inputs, layout):
    block = BasicBlock(inputs, 2 * inputs, 2).eval().to(memory_format=layout)
    x = torch.rand(4, inputs, 9, 8).to(memory_format=layout)
    convolution, norm = block.shortcut.get_submodule("0"), block.shortcut.get_submodule("1")
    assert set(block.shortcut.state_dict()) == {"0.weight"} | {f"1.{n}" for n in norm.state_dict()}
    strided = F.conv2d(x.contiguous(), convolution.weight.contiguous(), stride=2)
    torch.testing.assert_close(block.shortcut(x), norm(strided))


def test_an_onnx_backbone_is_rebuilt_without_its_file(file):
    network, x = make_backbone(f"onnx:{file}:fit=pad", SHAPE), torch.rand(2, *SHAPE)
    other = make_backbone(network.written, SHAPE)
    other.load_state_dict(network.state_dict())
    assert torch.equal(other(x), network(x))
    assert (other.sha256, other.fit, other.size) == (network.sha256, "pad", 8)
    assert torch.equal(pickle.loads(pickle.dumps(network))(x), network(x))
    spoilt = make_backbone(network.written, SHAPE)
    with pytest.raises(ConfigError, match="not those it was made with"):
        spoilt(x)


def test_uint8_and_single_image_files(tmp_path):
    pytest.importorskip("onnxruntime")
    path = onnx_file(tmp_path / "pixels.onnx", torch.uint8, batch=1)
    pixels = torch.randint(0, 256, (3, *SHAPE))
    features = make_backbone(f"onnx:{path}", SHAPE)(pixels / 255)
    assert_close(features[:, :3], pixels.float().mean((2, 3)), rtol=1e-4, atol=1e-3)


def test_files_that_are_no_such_network_are_refused(tmp_path, file):
    with pytest.raises(ConfigError, match="cannot be read"):
        make_backbone(f"onnx:{tmp_path / 'none.onnx'}", SHAPE)
    (tmp_path / "text.onnx").write_text("no network")
    with pytest.raises(ConfigError, match="cannot be run"):
        make_backbone(f"onnx:{tmp_path / 'text.onnx'}", SHAPE)
    with pytest.raises(ConfigError, match="not finite features"):
        make_backbone(f"onnx:{onnx_file(tmp_path / 'whole.onnx', out='y')}", SHAPE)
    with pytest.raises(ConfigError, match="not images of side 16"):
        make_backbone(f"onnx:{file}:size=16", SHAPE)


def test_linked_weights_are_those_or_refused(tmp_path):
    pytest.importorskip("onnxruntime")
    path = onnx_file(tmp_path / "net.onnx")
    network = make_backbone(f"onnx:{path}", SHAPE)
    weights = linked_weights(f"onnx:{path}", SHAPE, network.sha256)
    assert torch.equal(weights["backbone.file"], network.file)
    onnx_file(path, batch=1)
    with pytest.raises(StoreError, match="are not those the model was made with"):
        linked_weights(f"onnx:{path}", SHAPE, network.sha256)
    path.unlink()
    with pytest.raises(StoreError, match="which is not there"):
        linked_weights(f"onnx:{path}", SHAPE, network.sha256)


@pytest.mark.parametrize("name", ["own_networks:pooled", "module:own_networks.pooled"])
def test_a_function_of_images_is_a_frozen_backbone(monkeypatch, name):
    module(monkeypatch, pooled=pooled)
    network, x = make_backbone(name, SHAPE), torch.rand(4, *SHAPE)
    assert network.frozen and network.normalises and network.features == 6
    assert torch.equal(network(x), pooled(x))


def test_instances_classes_and_factories_are_networks(monkeypatch):
    made = Small()
    module(monkeypatch, net=made, Small=Small, make=lambda shape: Small())
    x = torch.rand(2, *SHAPE)
    network = make_backbone("own_networks:net", SHAPE)
    assert torch.equal(network(x), made(x)) and network.network is not made
    for name in ("Small", "make"):
        assert make_backbone(f"own_networks:{name}", SHAPE).features == 5
    with pytest.raises(ConfigError, match="takes no settings"):
        make_backbone("own_networks:net:width=3", SHAPE)


def test_a_frozen_method_holds_a_network_of_ones_own(monkeypatch):
    module(monkeypatch, net=Small())
    setup = Setup(network=Network("own_networks:net"))
    core = Continual(recipes.make("frozen:decide=mean"), SHAPE, setup)
    x = torch.randint(0, 256, (6, *SHAPE), dtype=torch.uint8)
    core.learn(core.arrive(x, ["a", "b"] * 3))
    backbone = core.learner.backbone
    assert backbone.frozen and len(backbone.sha256) == 64
    assert_close(core.out(x).features, backbone(x / 255))


@pytest.mark.parametrize(
    "part, words",
    [
        (lambda x: x, r"not \(2, f\)"),
        (lambda x: pooled(x)[:1], r"not \(2, f\)"),
        (lambda x: pooled(x) / 0, "not finite"),
        (lambda x: x.numpy().mean((2, 3)), "not a tensor"),
    ],
    ids=["images", "rows", "finite", "array"],
)
def test_what_gives_no_features_is_refused(monkeypatch, part, words):
    module(monkeypatch, part=part)
    with pytest.raises(ConfigError, match=words):
        make_backbone("own_networks:part", SHAPE)


def test_a_model_file_never_imports_a_network(monkeypatch):
    module(monkeypatch, unnamed=pooled)
    with closed(), pytest.raises(PluginError, match="only when you name it"):
        make_backbone("module:own_networks.unnamed", SHAPE)


def test_features_take_embeddings_alone():
    x = torch.rand(3, 7)
    assert torch.equal(make_backbone("features", (7,))(x), x)
    with pytest.raises(ConfigError, match="already are embeddings"):
        make_backbone("features", SHAPE)


@pytest.mark.parametrize(
    "config, wanted",
    [
        ({"size": {"height": 16, "width": 16}}, (16, 0, "squash")),
        ({"size": 20, "do_center_crop": True, "crop_size": 16}, (16, 20, "crop")),
        (
            {"size": {"shortest_edge": 20}, "do_center_crop": True, "crop_size": 16},
            (16, 20, "crop"),
        ),
        (
            {
                "data_config": {
                    "input_size": (3, 16, 16),
                    "crop_pct": 0.8,
                    "mean": (0.5,),
                    "std": (0.5,),
                }
            },
            (16, 20, "crop"),
        ),
    ],
    ids=["vit", "both", "short", "timm"],
)
def test_squash_is_told_from_crop(config, wanted):
    normal = {"image_mean": [0.5], "image_std": [0.5]}
    assert Preparation.read(normal | config).wanted == wanted


def test_copies_of_a_learner_share_a_frozen_one(file):
    learner = Learner(SHAPE, f"onnx:{file}", dim=0)
    assert copy.deepcopy(learner).backbone is learner.backbone
