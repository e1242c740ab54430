"""The card beside an exported file: read by the hub, and its code runs the file."""

import json
from dataclasses import replace

import numpy as np
import pytest

import holdfast
from holdfast.release.export_card import card_of_export
from holdfast.report.card import card_text
from holdfast.store.model import ModelFolder
from terminal import said


@pytest.fixture(scope="module")
def pets(tmp_path_factory):
    """A model of vectors of two classes."""
    generator = np.random.default_rng(0)
    y = np.repeat(["cat", "dog"], 40)
    x = generator.normal(size=(80, 6)).astype(np.float32) + 4 * (y == "dog")[:, None]
    path = tmp_path_factory.mktemp("cards") / "pets"
    holdfast.learn(path, (x, y), yes=True)
    return path


def code_of(text):
    """The Python of a card."""
    return text.split("```python\n")[1].split("```")[0]


def read(path):
    hub = pytest.importorskip("huggingface_hub")
    text = path.read_text()
    return hub.ModelCard(text), text


def test_a_torch_export_has_a_card_whose_code_runs(pets, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    text = said(
        capsys, "export", pets, "--to", "torch", "--out", "p.pt2", "--license", "apache-2.0"
    )
    assert "p.pt2.md: its card; on the hub, README.md" in text
    card, text = read(tmp_path / "p.pt2.md")
    assert card.data.license == "apache-2.0" and card.data.library_name == "holdfast"
    assert {"continual-learning", "torch"} <= set(card.data.tags)
    assert "classes of version 1: cat, dog" in text and "accuracy, Class-IL" in text
    assert "Its scores differ from the model's own by at most" in text
    import torch

    found = {"vectors": torch.zeros(3, 6)}
    exec(code_of(text), found)
    assert tuple(found["scores"].shape) == (3, 2)


def test_an_onnx_export_has_a_card_whose_code_runs(pets, tmp_path, monkeypatch, capsys):
    for name in ("onnx", "onnxruntime", "onnxscript"):
        pytest.importorskip(name)
    monkeypatch.chdir(tmp_path)
    data = said(capsys, "export", pets, "--out", "p.onnx", "--json")
    assert json.loads(data)["card"] == "p.onnx.md"
    text = read(tmp_path / "p.onnx.md")[1]
    assert "(N, 6) float32" in text
    exec(code_of(text), {"vectors": np.full((1, 6), 4, np.float32)})
    assert capsys.readouterr().out == "dog\n"


def test_a_card_that_is_there_is_not_replaced_unless_asked(pets, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.pt2.md").write_text("mine")
    words = ("export", pets, "--to", "torch", "--out", "p.pt2")
    text = said(capsys, *words, code=2)
    assert "p.pt2.md exists already" in text and not (tmp_path / "p.pt2").exists()
    said(capsys, *words, "--overwrite")
    assert read(tmp_path / "p.pt2.md")[1] != "mine"


def test_the_card_of_pixels_and_of_8_bits(pets):
    manifest = ModelFolder(pets).manifest()
    manifest = replace(manifest, input=manifest.input | {"shape": [3, 32, 32]})
    exported = {"format": "onnx", "difference": 0.0, "int8_layers": 7}
    text = card_text(card_of_export(manifest, pets.with_name("z-0001-int8.onnx"), exported))
    assert "7 layers compute in 8 bits; figures above are of the model before that." in text
    assert '{"pixels": pixels}' in text and "(N, 3, 32, 32) uint8" in text
    exported = exported | {"format": "torch", "int8_layers": 0}
    text = card_text(card_of_export(manifest, pets.with_name("z.pt2"), exported))
    assert "(N, 3, 32, 32) float32 in [0, 1]" in text and "license" not in text
