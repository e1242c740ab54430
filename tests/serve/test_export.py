"""Exports: every readout as a file that scores as the model does, or a sentence before the work."""

import json
from types import SimpleNamespace

import pytest
import torch
from torch.testing import assert_close

from holdfast.core.errors import ConfigError, StoreError
from holdfast.learner import Frame, Learner
from holdfast.memory import NoMemory
from holdfast.readout import READOUTS, FitContext, Readout, Ridge, Streaming, build_readout
from holdfast.serve import export, onnx_file
from holdfast.stream.task import Task

TEXTS = [
    *(name for name in READOUTS if name != "by-state"),  # which is several networks
    "mean:metric=euclidean", "gaussian:embedding", "gaussian:tukey=0.5", "gaussian:hidden",
    "class-gaussian:structure=diagonal", "class-gaussian:structure=low_rank:rank=2",
    "pseudo-head:structure=full",
]  # fmt: skip


def core_of(readout, table, classes=4, gap=False):
    """A small learner of images with one readout, fitted to random images."""
    torch.manual_seed(0)
    learner = Learner((1, 8, 8), "convnet", width=4, dim=5, classes=classes).eval()
    y = torch.arange(classes).repeat(6)
    y = y[y != 1] if gap else y
    rows = table(y)
    task = Task(0, tuple(sorted(set(y.tolist()))), rows, rows)
    readout.fit(FitContext(learner, task, NoMemory(), tuple(range(classes))))
    labels = [f"class {k}" for k in range(classes)]
    return SimpleNamespace(
        learner=learner, readouts={readout.name: readout}, readout=readout.name, labels=labels
    )


def scores(core, x):
    with torch.no_grad():
        return core.readouts[core.readout].scores(core.learner(x))


def run_onnx(path, x):
    """The outputs by name; x is what the model takes, pixels at rest."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    values = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    return dict(zip(names, map(torch.from_numpy, values)))


def run_torch(path, x):
    with torch.no_grad():
        return torch.export.load(str(path)).module()(x)


@pytest.mark.parametrize("text", TEXTS)
def test_every_readout_is_a_network_of_its_own(text, table):
    core = core_of(build_readout(text, Frame(5)), table)
    x = torch.rand(9, 1, 8, 8)
    with torch.no_grad():
        found = export.Scores(core)(x)
    expected = scores(core, x)
    assert found.dtype == torch.float32
    assert_close(found, expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()))


FILES = ["head", "gaussian", "class-gaussian", "fecam", "mean", "random-ridge"]


@pytest.mark.parametrize("text", FILES)
def test_a_torch_program_scores_as_the_model_does(text, table, tmp_path):
    core = core_of(build_readout(text), table)
    apart = export.to_torch(core, tmp_path / "model")
    for count in (1, 5):  # the batch is free
        x = torch.rand(count, 1, 8, 8, generator=torch.Generator().manual_seed(3))
        expected = scores(core, x)
        scale = max(float(expected.abs().max()), 1.0)
        assert_close(run_torch(tmp_path / "model", x), expected, rtol=0, atol=1e-3 * scale)
    assert 0 <= apart < 1e-2


@pytest.mark.parametrize("text", FILES)
def test_an_onnx_file_answers_as_the_model_does(text, table, tmp_path):
    core = core_of(build_readout(text), table)
    apart = onnx_file.to_onnx(core, tmp_path / "model", 0.2, version=3)
    readout = core.readouts[core.readout]
    for count in (1, 5):
        x = pixels(count)
        with torch.no_grad():
            out = core.learner(x.float() / 255)
        expected, answer = readout.scores(out), run_onnx(tmp_path / "model", x)
        scale = max(float(expected.abs().max()), 1.0)
        assert_close(answer["logits"], expected, rtol=0, atol=1e-3 * scale)
        p = readout.probabilities_of(expected).float()
        assert_close(answer["probabilities"], p, rtol=0, atol=1e-3)
        assert ("unknown_score" in answer) == isinstance(readout, Streaming)
        if isinstance(readout, Streaming):
            strange = readout.strange(out).float()
            assert_close(answer["unknown_score"], strange, rtol=1e-3, atol=1e-3)
    assert 0 <= apart < 1e-2
    check_sidecar(core, tmp_path / "model")


def check_sidecar(core, path):
    """It says what a program must know, and its threshold is that of the model."""
    notes, readout = (
        json.loads(path.with_name(f"{path.name}.json").read_text()),
        core.readouts[core.readout],
    )
    assert notes["classes"] == core.labels and notes["version"] == 3 and notes["holdfast"]
    pixels_in = {"name": "pixels", "shape": [1, 8, 8], "type": "uint8"}
    assert notes["input"] == pixels_in | {"fit": None, "resize": 0}
    assert notes["temperature"] == readout.temperature and notes["calibrated"] == readout.calibrated
    if not isinstance(readout, Streaming):
        assert notes["unknown"] is None and notes["outputs"] == ["logits", "probabilities"]
        return
    assert notes["unknown"]["threshold"] == readout.threshold(0.2)
    x = pixels(40, seed=5)
    with torch.no_grad():
        unknown = readout.unknown(core.learner(x.float() / 255), 0.2)
    score = run_onnx(path, x)[notes["unknown"]["output"]]
    assert (score > notes["unknown"]["threshold"]).tolist() == unknown.tolist()


def pixels(count, seed=3):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(256, (count, 1, 8, 8), dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize("text", ["gaussian", "class-gaussian", "mean:metric=euclidean"])
def test_a_class_that_never_came_is_never_chosen_by_the_file(text, table, tmp_path):
    core = core_of(build_readout(text), table, gap=True)
    onnx_file.to_onnx(core, tmp_path / "model")
    answer = run_onnx(tmp_path / "model", pixels(9))
    assert answer["logits"][:, 1].tolist() == [-torch.inf] * 9
    assert bool(answer["logits"][:, [0, 2, 3]].isfinite().all())
    assert answer["probabilities"][:, 1].tolist() == [0.0] * 9
    if "unknown_score" in answer:
        with torch.no_grad():
            expected = core.readouts[core.readout].strange(core.learner(pixels(9).float() / 255))
        assert_close(answer["unknown_score"], expected.float(), rtol=1e-3, atol=1e-3)


def test_a_file_that_answers_otherwise_is_not_written(table, tmp_path, monkeypatch):
    core = core_of(build_readout("gaussian"), table)
    monkeypatch.setattr(
        type(core.readouts["gaussian"]), "strange", lambda self, out: out.logits[:, 0]
    )
    with pytest.raises(StoreError, match="the unknown scores of the file differ"):
        onnx_file.to_onnx(core, tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_vectors_go_in_as_they_are(table, tmp_path):
    torch.manual_seed(0)
    learner, y = Learner((5,), "mlp", width=8, dim=5, classes=2).eval(), torch.arange(2).repeat(9)
    x = torch.randn(18, 5)
    rows = table(y, x=x)
    readout = build_readout("gaussian")
    readout.fit(FitContext(learner, Task(0, (0, 1), rows, rows), NoMemory(), (0, 1)))
    core = SimpleNamespace(
        learner=learner, readouts={"gaussian": readout}, readout="gaussian", labels=["a", "b"]
    )
    onnx_file.to_onnx(core, tmp_path / "m.onnx")
    assert_close(run_onnx(tmp_path / "m.onnx", x)["logits"], scores(core, x), rtol=1e-3, atol=1e-3)
    notes = json.loads((tmp_path / "m.onnx.json").read_text())["input"]
    assert notes == {"name": "vectors", "shape": [5], "type": "float32"}


# eight bits


@pytest.fixture(scope="module")
def whole(table, tmp_path_factory):
    """A small model, and its file."""
    core, path = (
        core_of(build_readout("gaussian"), table),
        tmp_path_factory.mktemp("whole") / "m.onnx",
    )
    onnx_file.to_onnx(core, path)
    return core, path


@pytest.mark.parametrize("calibrated", [True, False])
def test_the_backbone_alone_computes_in_eight_bits(calibrated, whole, tmp_path):
    import onnx

    from holdfast.serve.quantise import to_int8

    (core, path), x = whole, pixels(64)
    layers = to_int8(core, tmp_path / "small.onnx", x if calibrated else None, version=3)
    assert layers == 3  # the convolutions of a convnet
    answer, small = run_onnx(path, x), run_onnx(tmp_path / "small.onnx", x)
    assert list(small) == list(answer) == ["logits", "probabilities", "unknown_score"]
    assert not torch.equal(small["logits"], answer["logits"])
    same = (small["logits"].argmax(1) == answer["logits"].argmax(1)).double().mean()
    assert float(same) > 0.9
    graph = onnx.load(str(tmp_path / "small.onnx")).graph
    whole_numbers = {w.name for w in graph.initializer if w.data_type in (2, 3) and len(w.dims) > 1}
    assert len(whole_numbers) == 3  # what decides is as it was
    notes = json.loads((tmp_path / "small.onnx.json").read_text())
    assert (notes["int8_nodes"], notes["version"], notes["classes"]) == (3, 3, core.labels)


def test_a_file_is_measured_on_labelled_images(whole):
    from holdfast.serve.measure import agreement, measure

    (core, path), x = whole, pixels(40)
    best = scores(core, x.float() / 255).argmax(1).tolist()
    labels = [core.labels[k] for k in best[:30]] + ["another"] * 10
    result = measure(path, x, labels)
    assert (result.right, result.total, result.labels.tolist()) == (30, 40, best)
    share, low, high = result.accuracy
    assert share == 0.75 and 0.59 < low < 0.61 and 0.85 < high < 0.87
    assert result.bytes == path.stat().st_size and result.seconds > 0
    other = measure(path, x.flip(0), labels)
    expected = sum(a == b for a, b in zip(best, best[::-1])) / 40
    assert agreement(result, result) == 1.0 and agreement(result, other) == expected


def test_the_names_of_the_classes_travel_with_the_file(whole):
    import onnx

    core, path = whole
    notes = {e.key: e.value for e in onnx.load(str(path)).metadata_props}
    assert json.loads(notes["classes"]) == core.labels


class Doubled(Ridge):
    """Linear, and says nothing of a network."""

    def network(self, width):
        return None


class Crooked(Readout):
    """Not linear, and says nothing of a network."""

    label = "crooked"

    def scores(self, out):
        return out.features[:, :2].sin() * 100


def test_a_linear_readout_of_ones_own_becomes_a_linear_layer(table):
    core = core_of(Doubled(), table)
    x = torch.rand(9, 1, 8, 8)
    with torch.no_grad():
        assert_close(export.Scores(core)(x), scores(core, x), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("write", [export.to_torch, onnx_file.to_onnx], ids=["torch", "onnx"])
def test_a_readout_that_is_no_network_is_refused_in_a_sentence(write, table, tmp_path):
    with pytest.raises(ConfigError, match="the readout crooked of this model cannot be exported"):
        write(core_of(Crooked(), table), tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_a_model_too_large_for_onnx_is_refused_before_the_work(table, tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_file, "LARGEST", 1000)
    with pytest.raises(ConfigError, match="an ONNX file holds 2: use --to torch"):
        onnx_file.to_onnx(core_of(build_readout("gaussian"), table), tmp_path / "model")
