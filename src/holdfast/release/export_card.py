"""The card of an exported file: what the model's says, and how the file is used without holdfast."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from holdfast.release.model_card import card_of_model
from holdfast.report.card import Card
from holdfast.store.manifest import Manifest

ONNX = """import json

import onnxruntime

session = onnxruntime.InferenceSession("{file}")
classes = json.loads(session.get_modelmeta().custom_metadata_map["classes"])
scores = session.run(None, {{"{input}": {input}}})[0]  # {shape}
print(classes[scores[0].argmax()])"""
TORCH = """import torch

program = torch.export.load("{file}").module()
scores = program({input})  # {shape}"""


def card_of_export(
    manifest: Manifest, file: Path, exported: Mapping[str, Any], license: str | None = None
) -> Card:
    """The card of a file made from one version of a model.

    Args:
        manifest: of the version.
        file: that was written.
        exported: what the command says of it: ``format``, ``difference``, ``int8_layers``, ``classes``.
        license: as the hub names it; none is claimed.
    """
    shape = "x".join(map(str, manifest.input["shape"]))
    onnx, pixels = exported["format"] == "onnx", len(manifest.input["shape"]) == 3
    kind = "uint8" if onnx else "float32 in [0, 1]"
    what = f"(N, {shape.replace('x', ', ')}) {kind if pixels else 'float32'}"
    names = {"file": file.name, "input": "pixels" if pixels else "vectors", "shape": what}
    card = card_of_model(manifest, file.stem, license)
    layers = exported.get("int8_layers", 0)
    limit = (
        f"{layers} layers compute in 8 bits; figures above are of the model before that."
        if layers
        else f"Its scores differ from the model's own by at most {exported['difference']:.1e}."
    )
    return replace(
        card,
        load={"python": (ONNX if onnx else TORCH).format(**names)},
        limits=[*card.limits, limit],
        tags=[*card.tags, exported["format"]],
    )
