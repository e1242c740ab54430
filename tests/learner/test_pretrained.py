"""Pretrained backbones, on tiny random models written to a temporary folder."""

import copy
import json
import pickle

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

from holdfast import HoldfastClassifier
from holdfast.core.errors import ConfigError
from holdfast.core.settings import Network
from holdfast.learner import Learner, Pretrained, make_backbone
from holdfast.learner.preparation import Preparation
from holdfast.learner.pretrained import digest
from holdfast.learner.stages import stages_of

transformers = pytest.importorskip("transformers")

MEAN, STD = [0.5, 0.4, 0.3], [0.2, 0.3, 0.4]
PROCESSORS = {
    "vit": {"image_processor_type": "ViTImageProcessor", "size": {"height": 16, "width": 16}},
    "resnet": {
        "image_processor_type": "ConvNextImageProcessor",
        "size": {"shortest_edge": 28},
        "crop_pct": 0.875,
    },
}


def save(kind, folder):
    """A tiny random model of a kind, with its preprocessor."""
    torch.manual_seed(0)
    if kind == "vit":
        config = transformers.ViTConfig(
            hidden_size=16, num_hidden_layers=3, num_attention_heads=2, intermediate_size=32,
            image_size=16, patch_size=8,
        )  # fmt: skip
        model = transformers.ViTModel(config)
    else:
        config = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1])
        model = transformers.ResNetModel(config)
    with torch.random.fork_rng():
        model.save_pretrained(folder)
    processor = {"image_mean": MEAN, "image_std": STD} | PROCESSORS[kind]
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    return model.eval()


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folders = {kind: tmp_path_factory.mktemp(kind) for kind in PROCESSORS}
    return {kind: (folder, save(kind, folder)) for kind, folder in folders.items()}


@pytest.fixture(params=PROCESSORS)
def kind(request):
    return request.param


def pictures(count=6, side=20, seed=0):
    chance = np.random.default_rng(seed)
    small = chance.integers(0, 256, (count, 5, 5, 3), dtype=np.uint8)
    grown = [Image.fromarray(s).resize((side, side), Image.Resampling.BICUBIC) for s in small]
    return torch.from_numpy(np.stack(grown)).permute(0, 3, 1, 2)


def bits(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def changed(module, before):
    return {name for name, value in module.state_dict().items() if not value.equal(before[name])}


def test_features_are_the_models_own_pooled_output(saved, kind):
    folder, model = saved[kind]
    network = make_backbone(str(folder), (3, 20, 20))
    x = pictures()
    processor = transformers.AutoImageProcessor.from_pretrained(folder)
    images = [Image.fromarray(image.permute(1, 2, 0).numpy()) for image in x]
    prepared = processor(images, return_tensors="pt")["pixel_values"]
    assert_close(network.prepare(x / 255), prepared, atol=0.03, rtol=0)  # theirs rounds to bytes
    with torch.no_grad():
        expected = model(pixel_values=prepared).pooler_output.flatten(1)
    found = network(x / 255)
    assert found.shape == (6, network.features) == (6, 16)
    assert_close(found, expected, atol=0.02, rtol=0)
    assert not found.requires_grad


def test_its_blocks_are_its_stages(saved, kind):
    folder, model = saved[kind]
    network, x = make_backbone(str(folder), (3, 20, 20)), pictures() / 255
    features, shown = stages_of(network, x)
    stages = shown["stages"]
    assert torch.equal(features, network(x))
    with torch.no_grad():
        prepared = network.prepare(x)
        states = model(pixel_values=prepared, output_hidden_states=True).hidden_states[1:]
    assert len(stages) == len(states) == {"vit": 3, "resnet": 2}[kind]
    for stage, state in zip(stages[:-1], states[:-1]):
        assert_close(stage, state.mean(1) if state.ndim == 3 else state.mean((2, 3)))


SIZES = {
    "square": ({"size": {"height": 10, "width": 14}}, (10, 14)),
    "number": ({"size": 12}, (12, 12)),
    "shorter side": ({"size": {"shortest_edge": 10}}, (10, 20)),
    "and crop": (
        {"size": {"shortest_edge": 10}, "do_center_crop": True, "crop_size": {"height": 8, "width": 6}},
        (8, 6),
    ),
    "crop of more": ({"size": {"shortest_edge": 4}, "do_center_crop": True, "crop_size": 6}, (6, 6)),
    "share": ({"size": {"shortest_edge": 14}, "crop_pct": 0.875}, (14, 14)),
    "large share": ({"size": {"shortest_edge": 384}, "crop_pct": 1.0}, (384, 384)),
    "no resize": ({"size": 12, "do_resize": False}, (16, 32)),
    "nearest": ({"size": 12, "resample": 0}, (12, 12)),
}  # fmt: skip


@pytest.mark.parametrize("case", SIZES)
def test_every_form_of_size_is_understood(case):
    config, size = SIZES[case]
    prepare = Preparation.read({"image_mean": [0.0], "image_std": [1.0]} | config)
    x = torch.rand(2, 3, 16, 32, generator=torch.Generator().manual_seed(0))
    found = prepare(x)
    assert found.shape == (2, 3, *size)
    assert float(found.min()) >= 0 and float(found.max()) <= 1
    if case == "nearest":
        assert set(found[0, 0].flatten().tolist()) <= set(x[0, 0].flatten().tolist())


def test_normalisation_is_the_preprocessors_and_not_the_first_tasks(saved):
    folder, _ = saved["vit"]
    learner = Learner((3, 20, 20), str(folder), dim=4)
    learner.normalise_by(pictures() / 255)
    assert learner.mean.tolist() == [0.0] * 3 and learner.std.tolist() == [1.0] * 3
    flat = learner.backbone.prepare(torch.full((1, 3, 16, 16), 0.6))
    expected = (0.6 - torch.tensor(MEAN)) / torch.tensor(STD)
    assert_close(flat[0].mean((1, 2)), expected)


def test_a_frozen_backbone_never_changes_and_is_shared_by_copies(saved, kind):
    folder, _ = saved[kind]
    learner = Learner((3, 20, 20), str(folder), dim=4, classes=2).train()
    before = bits(learner.backbone)
    out = learner(pictures() / 255)
    out.embedding.sum().backward()
    assert not any(p.requires_grad for p in learner.backbone.parameters())
    assert learner.projector[0].weight.grad is not None
    past = learner.freeze("batch")
    assert past.backbone is learner.backbone and past.projector is not learner.projector
    assert changed(learner.backbone, before) == set()  # batch norm's statistics too
    for now, then in zip(learner(pictures() / 255), past(pictures() / 255)):
        assert_close(now, then)


def test_only_the_last_layers_are_tuned(saved, kind):
    folder, _ = saved[kind]
    network = Pretrained(str(folder), tune_layers=1).train()
    assert {name for name, p in network.named_parameters() if p.requires_grad}
    before = bits(network)
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    network(pictures() / 255).square().sum().backward()
    optimizer.step()
    last = {"vit": ("layers.2.", "layernorm.", "pooler."), "resnet": ("encoder.stages.1.",)}[kind]
    moved = changed(network, before)
    assert moved and all(name.removeprefix("model.").startswith(last) for name in moved)
    assert {name.removeprefix("model.").startswith(last[0]) for name in moved} >= {True}
    other = copy.deepcopy(network)
    assert other.model is not network.model and changed(other, bits(network)) == set()
    assert [id(m) for m in other.tuned] != [id(m) for m in network.tuned]
    assert all(any(m is inner for inner in other.modules()) for m in other.tuned)


def test_a_tuned_one_freezes_into_a_past_of_its_own(saved, kind):
    learner = Learner((3, 20, 20), str(saved[kind][0]), dim=4, tune_layers=2)
    past = learner.freeze("batch")
    assert past.backbone is not learner.backbone
    assert not any(p.requires_grad for p in past.parameters())
    assert any(p.requires_grad for p in learner.backbone.parameters())


def test_grey_images_are_repeated(saved):
    network = make_backbone(str(saved["vit"][0]), (1, 20, 20))
    grey = pictures()[:, :1] / 255
    colour = make_backbone(str(saved["vit"][0]), (3, 20, 20))
    assert_close(network(grey), colour(grey.repeat(1, 3, 1, 1)))


def test_the_eye_of_a_model_of_images_and_texts(tmp_path, saved):
    small = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2}
    small |= {"num_attention_heads": 2}
    config = transformers.CLIPConfig(
        text_config=small | {"vocab_size": 9},
        vision_config=small | {"image_size": 16, "patch_size": 8},
    )
    model = transformers.CLIPModel(config).eval()
    model.save_pretrained(tmp_path)
    processor = saved["vit"][0] / "preprocessor_config.json"
    (tmp_path / processor.name).write_text(processor.read_text())
    network = make_backbone(str(tmp_path), (3, 20, 20), tune_layers=1).eval()
    x = pictures() / 255
    with torch.no_grad():
        expected = model.vision_model(pixel_values=network.prepare(x)).pooler_output
        assert_close(network(x), expected)
    again = make_backbone(network.written, (3, 20, 20))
    again.load_state_dict(network.state_dict())
    assert_close(again(x), expected)


def test_the_digest_is_that_of_the_weights(saved, kind, tmp_path):
    folder, model = saved[kind]
    network = Pretrained(str(folder))
    assert network.sha256 == digest(model) and len(network.sha256) == 64
    with torch.no_grad():
        next(iter(model.state_dict().values())).view(-1)[0] += 1
        assert digest(model) != network.sha256
        next(iter(model.state_dict().values())).view(-1)[0] -= 1


def test_a_pooler_that_came_without_weights_is_not_used(tmp_path):
    save("vit", tmp_path)
    config = transformers.ViTConfig.from_pretrained(tmp_path)
    bare = transformers.ViTModel(config, add_pooling_layer=False).eval()
    bare.save_pretrained(tmp_path)
    network = Pretrained(str(tmp_path))
    x = pictures() / 255
    with torch.no_grad():
        expected = bare(pixel_values=network.prepare(x)).last_hidden_state.mean(1)
    assert_close(network(x), expected)


def test_a_saved_learner_needs_no_folder_again(saved, kind):
    learner = Learner((3, 20, 20), str(saved[kind][0]), dim=4, tune_layers=1).eval()
    written = learner.backbone.written
    again = Learner((3, 20, 20), written, dim=4, tune_layers=1).eval()
    assert changed(again.backbone, bits(learner.backbone)) != set()
    again.load_state_dict(learner.state_dict())
    for now, then in zip(again(pictures() / 255)[:4], learner(pictures() / 255)[:4]):
        assert torch.equal(now, then)
    assert (again.backbone.written, again.backbone.sha256) == (written, learner.backbone.sha256)
    with torch.device("meta"):
        shapes = {n: v.shape for n, v in Learner((3, 20, 20), written, dim=4).state_dict().items()}
    assert shapes == {name: value.shape for name, value in learner.state_dict().items()}


@pytest.mark.parametrize("text", ["{", "{}", '{"config": {"model_type": "nothing"}}'])
def test_what_describes_no_network_is_refused(text):
    with pytest.raises(ConfigError, match="the saved backbone cannot be rebuilt"):
        make_backbone(text, (3, 16, 16))


def broken(folder, how):
    if how == "no preprocessor":
        (folder / "preprocessor_config.json").unlink()
    if how == "no weights":
        (folder / "model.safetensors").unlink()
    if how == "truncated":
        path = folder / "model.safetensors"
        path.write_bytes(path.read_bytes()[:-100])
    if how == "pickle":
        (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    if how == "code":
        config = json.loads((folder / "config.json").read_text())
        config |= {"auto_map": {"AutoModel": "evil.Evil"}, "model_type": "evil"}
        (folder / "config.json").write_text(json.dumps(config))
        (folder / "evil.py").write_text("raise SystemExit('it was run')")


@pytest.mark.parametrize("how", ["no preprocessor", "no weights", "truncated", "pickle", "code"])
def test_a_folder_that_is_not_whole_or_not_safe_is_refused(tmp_path, how):
    save("vit", tmp_path)
    broken(tmp_path, how)
    with pytest.raises(ConfigError, match="cannot be used as a backbone"):
        Pretrained(str(tmp_path))


def test_a_model_of_texts_is_refused(tmp_path, saved):
    config = transformers.BertConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        vocab_size=9,
    )
    transformers.BertModel(config).save_pretrained(tmp_path)
    processor = saved["vit"][0] / "preprocessor_config.json"
    (tmp_path / processor.name).write_text(processor.read_text())
    with pytest.raises(ConfigError, match="no vision model: it takes input_ids"):
        Pretrained(str(tmp_path))


@pytest.mark.parametrize(
    "shape, options, message",
    [
        ((8,), {}, r"does not take inputs of shape \(8,\)"),
        ((2, 16, 16), {}, "3 channels, not of 2"),
        ((3, 16, 16), {"tune_layers": 4}, "has 3 layers to tune, not 4"),
    ],
)
def test_what_does_not_fit_is_refused(saved, shape, options, message):
    with pytest.raises(ConfigError, match=message):
        make_backbone(str(saved["vit"][0]), shape, **options)


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"there is no folder .*/nowhere"):
        make_backbone(str(tmp_path / "nowhere"), (3, 16, 16))


def test_settings_of_tuning_are_checked():
    with pytest.raises(ConfigError, match="--tune-layers must be at least 0"):
        Network(tune_layers=-1)
    with pytest.raises(ConfigError, match="--tune-layers 1 is for a pretrained backbone"):
        make_backbone("convnet", (1, 8, 8), tune_layers=1)


@pytest.mark.parametrize("tune_layers", [0, 1])
def test_a_classifier_learns_on_top_of_one_class_after_class(saved, kind, tune_layers):
    chance = np.random.default_rng(0)
    y = np.arange(3).repeat(8)
    x = np.clip(
        40 * (1 + 2 * y)[:, None, None, None] + chance.normal(0, 9, (24, 20, 20, 3)), 0, 255
    )
    x = x.astype(np.uint8)
    model = HoldfastClassifier(
        "fnc2", backbone=str(saved[kind][0]), tune_layers=tune_layers, epochs=2, batch=8, lr=0.005,
        device="cpu", random_state=0,
    )  # fmt: skip
    for chosen in ([0, 1], [2]):
        model.partial_fit(x[np.isin(y, chosen)], y[np.isin(y, chosen)])
    assert model.score(x, y) > 0.8
    assert model.holdings_.images == 0
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict(x), model.predict(x))
