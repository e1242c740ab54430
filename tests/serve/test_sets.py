"""Thresholds by class and conformal sets, in the library, on the command line and in an export."""

import json

import numpy as np
import pytest
import torch

from clouds import clouds
from holdfast import Continual, recipes
from holdfast.cli import main
from holdfast.core.errors import ConfigError
from holdfast.serve.class_sets import nominal, sets_of
from holdfast.serve.deployed import Deployed
from holdfast.serve.onnx_file import sidecar, to_onnx
from holdfast.serve.predictor import Predictor


@pytest.fixture(scope="module")
def core():
    """Four classes of 40 vectors, in two updates."""
    x, y = clouds((40,) * 4)
    x = x + 2 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    core = Continual(recipes.make("frozen"), (5,))
    for part in ((0, 1), (2, 3)):
        rows = torch.isin(y, torch.tensor(part))
        core.learn(core.arrive(x[rows], [f"class {k}" for k in y[rows].tolist()]))
    return core


@pytest.fixture(scope="module")
def fresh():
    x, _ = clouds((30,) * 4, seed=1)
    return x + 2 * torch.randn(x.shape, generator=torch.Generator().manual_seed(1))


def test_an_export_calls_the_same_inputs_unknown(core, fresh, tmp_path):
    readout, network = core.readouts[core.readout], Deployed(core).eval()
    with torch.no_grad():
        strange, answer = readout.strange(core.out(fresh)), network(fresh)
    assert len(network.shift) == 4
    torch.testing.assert_close(answer.unknown_score.double(), strange, rtol=1e-4, atol=1e-4)
    assert network.rule is not None
    unknown = Predictor(core)(fresh).unknown
    assert torch.equal(answer.unknown_score > network.rule.threshold, unknown)
    pytest.importorskip("onnxruntime")
    assert to_onnx(core, tmp_path / "m.onnx") < 1e-3  # it compares the unknown scores itself
    notes = json.loads((tmp_path / "m.onnx.json").read_text())
    assert notes["unknown"]["by_class"] is True
    assert notes["sets"]["limits"]["0.9"] == pytest.approx(readout.confidence.missable(0.9))
    assert notes == json.loads(json.dumps(sidecar(core, network, {})))


def test_a_predictor_gives_the_sets_of_its_readout(core, fresh):
    predictor = Predictor(core)
    answer = predictor(fresh)
    q = core.readouts[core.readout].confidence.missable(0.9)
    assert not nominal(predictor)
    for i, names in enumerate(sets_of(predictor, answer, 0.9)):
        p = answer.probabilities[i].double()
        wanted = [k for k in p.argsort(descending=True).tolist() if 1 - p[k] <= q]
        assert names == [predictor.classes[k] for k in wanted or [int(p.argmax())]]
    assert max(map(len, sets_of(predictor, answer, 0.95))) > 1
    with pytest.raises(ConfigError, match="between 0 and 1"):
        sets_of(predictor, answer, 0.0)


def test_sets_on_the_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    x, y = clouds((30,) * 3)
    np.savez("all.npz", x=x.numpy(), y=np.array([f"class {k}" for k in y.tolist()]))
    np.save("new.npy", x[::10].numpy())
    flags = ["--device", "cpu", "--quiet", "--yes"]
    assert main(["learn", "model", "--data", "all.npz", *flags]) == 0
    capsys.readouterr()
    assert main(["predict", "model", "new.npy", "--sets", "0.9", "--json"]) == 0
    for text in capsys.readouterr().out.splitlines():
        row = json.loads(text)
        assert row["set"][0] == row["class"] and row["set_nominal"] is False
    assert main(["predict", "model", "new.npy", "--sets", "0.9"]) == 0
    assert "{class 0" in capsys.readouterr().out
    assert main(["predict", "model", "new.npy", "--sets", "2", "--json"]) == 2
    assert main(["predict", "model", "new.npy", "--sets", "0.9", "--format", "csv"]) == 2
