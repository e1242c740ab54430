"""A classifier trained elsewhere goes on without its data: what is taken over, and what is refused."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

from holdfast.core.errors import ConfigError
from holdfast.learner.classifier import from_transformers, read_classifier
from holdfast.serve.predictor import Predictor, share
from holdfast.statistics.sure import confident
from holdfast.store.model import ModelFolder
from holdfast.store.update import Update
from holdfast.stream.folder import read_folder
from holdfast.train.blueprint import Blueprint
from terminal import said

transformers = pytest.importorskip("transformers")

COLOURS = {
    "brick": (180, 60, 40), "grass": (60, 160, 50), "sky": (70, 120, 220), "sand": (220, 200, 140),
}  # fmt: skip
OLD = ("brick", "grass", "sky")
GAUSSIAN = ["--readout", "stale-gaussian", "--device", "cpu"]


def pictures(name, count, seed):
    chance = np.random.default_rng([seed, *map(ord, name)])
    noise = chance.normal(0, 40, (count, 4, 4, 3)).repeat(4, 1).repeat(4, 2)
    return (np.array(COLOURS[name]) + noise).clip(0, 255).astype(np.uint8)


def write(folder, names, count, seed, flat=False):
    for name in names:
        place = folder if flat else folder / name
        place.mkdir(parents=True, exist_ok=True)
        for i, image in enumerate(pictures(name, count, seed)):
            Image.fromarray(image).save(place / f"{name[:2]}{i}.png")
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A tiny random vision transformer whose head was fitted to three colours; and their traffic."""
    root = tmp_path_factory.mktemp("elsewhere")
    torch.manual_seed(0)
    config = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        image_size=16, patch_size=8, id2label=dict(enumerate(OLD)),
        label2id={name: k for k, name in enumerate(OLD)},
    )  # fmt: skip
    model = transformers.ViTForImageClassification(config).eval()
    x = torch.from_numpy(np.concatenate([pictures(name, 60, 0) for name in OLD]))
    x = (x.permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.5
    y = torch.arange(3).repeat_interleave(60)
    with torch.no_grad():
        f = model.vit(pixel_values=x).last_hidden_state[:, 0].double()
        gap = f - f.mean(0)
        target = 8 * (torch.nn.functional.one_hot(y, 3).double() - 1 / 3)
        w = torch.linalg.solve(gap.T @ gap + 1e-6 * torch.eye(16), gap.T @ target).T
        model.classifier.weight.copy_(w)
        model.classifier.bias.copy_(-w @ f.mean(0))
    model.save_pretrained(root / "vit")
    processor = {
        "image_processor_type": "ViTImageProcessor", "size": {"height": 16, "width": 16},
        "image_mean": [0.5] * 3, "image_std": [0.5] * 3,
    }  # fmt: skip
    (root / "vit" / "preprocessor_config.json").write_text(json.dumps(processor))
    write(root / "traffic", OLD, 30, 1, flat=True)
    write(root / "true", OLD, 30, 1)
    write(root / "new", ["sand"], 20, 2)
    write(root / "golden", COLOURS, 15, 3)
    return root


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")


def accuracy(path, trained, names):
    core, _ = ModelFolder(path).load(device="cpu")
    data = read_folder(trained / "golden", core.learner.shape[1])
    counts = Predictor(core).accuracies(data.x, data.labels)
    return share({name: counts[name] for name in names})


def extend(path, folder):
    model = ModelFolder(path)
    with model.lock():
        data = read_folder(folder, 16)
        blueprint = Blueprint.from_data(model.manifest().blueprint)
        update = Update(model, data.x, data.labels, blueprint, "cpu")
        list(update.learn())
        update.publish({"images": {}})


def test_a_classifier_goes_on_without_its_data(trained, capsys):
    found = said(
        capsys,
        "import",
        "m",
        "--from",
        trained / "vit",
        "--traffic",
        trained / "traffic",
        *GAUSSIAN,
    )
    assert (
        "of 90 images of the traffic" in found
        and "brick: " in found
        and "of the traffic as" in found
    )
    manifest = ModelFolder("m").manifest()
    assert sorted(c["name"] for c in manifest.classes) == sorted(OLD)
    notes = manifest.update["imported"]
    assert notes["used"] <= notes["traffic"] == 90 and notes["agreement"] > 0.9
    assert "imported vit" in said(capsys, "history", "m")
    assert accuracy("m", trained, OLD) > 0.9
    extend("m", trained / "new")
    assert accuracy("m", trained, COLOURS) > 0.85
    assert len(ModelFolder("m").manifest().classes) == 4


def test_its_statistics_are_those_of_its_sure_answers(trained, capsys):
    flags = ["--traffic", trained / "traffic", *GAUSSIAN]
    said(capsys, "import", "m", "--from", trained / "vit", *flags)
    core, _ = ModelFolder("m").load(device="cpu")
    own = from_transformers(trained / "vit")
    data = read_folder(trained / "traffic" / "..", 16)
    kept = [i for i, file in enumerate(data.files) if file.parent.name == "traffic"]
    x = data.x[kept]
    p = torch.softmax(own.logits(x.float() / 255, x), 1)
    used, features = confident(p), core.out(x).features.double()
    statistics = core.readouts[core.readout].statistics
    for k, name in enumerate(own.labels):
        mine = features[used & (p.argmax(1) == k)]
        place = core.labels.index(name)
        assert int(statistics.count[place]) == len(mine)
        assert_close(statistics.mean[place], mine.mean(0), rtol=1e-5, atol=1e-5)


def test_a_file_of_weights_with_its_head(trained, tmp_path, capsys):
    """The head alone of a backbone that is named; and with the backbone's own weights, altered."""
    base = read_classifier(trained / "vit")
    from holdfast.learner import make_backbone

    network = make_backbone(str(trained / "vit"), (3, 16, 16))
    x = torch.from_numpy(np.concatenate([pictures(name, 60, 0) for name in OLD]))
    x = x.permute(0, 3, 1, 2).float() / 255
    y = torch.arange(3).repeat_interleave(60)

    def head(features):
        gap = features - features.mean(0)
        target = 8 * (torch.nn.functional.one_hot(y, 3).float() - 1 / 3)
        w = torch.linalg.solve(gap.T @ gap + 1e-5 * torch.eye(16), gap.T @ target).T
        return {"fc.weight": w, "fc.bias": -w @ features.mean(0)}

    (tmp_path / "labels.txt").write_text("\n".join(OLD))
    with torch.no_grad():
        alone = head(network(x))
        other = {n: t + 0.01 * torch.randn_like(t) for n, t in network.model.state_dict().items()}
        network.model.load_state_dict(other)
        both = {f"encoder.{n}": t for n, t in other.items()} | head(network(x))
    flags = ["--backbone", trained / "vit", "--labels", "labels.txt", *GAUSSIAN]
    for name, state in (("alone", alone), ("both", {"state_dict": both})):
        torch.save(state, tmp_path / f"{name}.pt")
        said(
            capsys, "import", name, "--from", f"{name}.pt", "--traffic", trained / "traffic", *flags
        )
        assert accuracy(name, trained, OLD) > 0.9
    cores = [ModelFolder(name).load(device="cpu")[0] for name in ("alone", "both")]
    assert cores[0].learner.backbone.sha256 != cores[1].learner.backbone.sha256
    assert_close(cores[1].learner.backbone.model.state_dict(), other)
    assert base.labels == list(OLD)


def test_sure_rows_count_and_enough_of_each_class():
    generator = torch.Generator().manual_seed(0)
    p = torch.softmax(3 * torch.randn(200, 4, generator=generator), 1)
    for sure, least, floor in ((0.9, 10, 0.5), (0.99, 30, 0.8), (0.5, 1, 0.4)):
        found = confident(p, sure, least, floor)
        for k in range(4):
            mine = sorted((row.max().item(), i) for i, row in enumerate(p) if row.argmax() == k)[
                ::-1
            ]
            expected = {
                i for r, (q, i) in enumerate(mine) if q >= sure or (r < least and q >= floor)
            }
            assert {i for _, i in mine if found[i]} == expected


# what is refused


def test_a_head_alone_does_not_suffice(trained, capsys):
    found = said(capsys, "import", "m", "--from", trained / "vit", code=2)
    assert "a head alone does not suffice" in found and "--traffic FOLDER" in found


def test_traffic_without_a_class_is_refused_and_nothing_is_left(trained, tmp_path, capsys):
    write(tmp_path / "some", OLD[:2], 20, 1, flat=True)
    found = said(
        capsys, "import", "m", "--from", trained / "vit", "--traffic", "some", *GAUSSIAN, code=2
    )
    assert "too few images of 1 classes" in found and "sky" in found
    assert not (tmp_path / "m").exists()
    (tmp_path / "none").mkdir()
    for traffic, why in (("none", "holds no image"), ("nowhere", "is no folder")):
        found = said(
            capsys,
            "import",
            "m",
            "--from",
            trained / "vit",
            "--traffic",
            traffic,
            *GAUSSIAN,
            code=2,
        )
        assert why in found and not (tmp_path / "m").exists()


def test_what_is_no_classifier_is_named(trained, tmp_path):
    names = tmp_path / "labels.txt"
    names.write_text("a\nb\nc\n")
    base = str(trained / "vit")
    with pytest.raises(ConfigError, match="there is no"):
        read_classifier(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="is no image classifier that can be read"):
        read_classifier(tmp_path)
    torch.save({"fc.weight": torch.zeros(3, 7)}, tmp_path / "w.pt")
    with pytest.raises(ConfigError, match="holds weights alone: name its network"):
        read_classifier(tmp_path / "w.pt")
    with pytest.raises(ConfigError, match=r"no weight of shape \(3, 16\)"):
        read_classifier(tmp_path / "w.pt", base, names)
    torch.save({"a.weight": torch.zeros(3, 16), "b.weight": torch.zeros(3, 16)}, tmp_path / "w.pt")
    with pytest.raises(ConfigError, match=r"2 weights \(a.weight, b.weight\)"):
        read_classifier(tmp_path / "w.pt", base, names)
    torch.save({"a.weight": torch.zeros(3, 16), "conv": torch.zeros(2)}, tmp_path / "w.pt")
    with pytest.raises(ConfigError, match=r"1 weights beside the head that are not those of"):
        read_classifier(tmp_path / "w.pt", base, names)
    (tmp_path / "w.pt").write_bytes(b"no weights")
    with pytest.raises(ConfigError, match="is no file of weights that can be read"):
        read_classifier(tmp_path / "w.pt", base, names)
    names.write_text("a\na\n")
    with pytest.raises(ConfigError, match="names 'a' twice"):
        read_classifier(tmp_path / "w.pt", base, names)
