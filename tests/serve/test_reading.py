"""Labelled folders and single files are read alike, as the backbone wants its images."""

import numpy as np
import torch
from PIL import Image

from holdfast import Continual, recipes
from holdfast.serve.predictor import Predictor
from holdfast.stream import read_folder


def predictor(side=16):
    core = Continual(recipes.make("frozen", decide="mean"), (3, side, side))
    backbone = core.learner.backbone
    backbone.size, backbone.fit, backbone.resize = 16, "crop", 20
    return Predictor(core)


def photographs(root):
    for i in range(3):
        chance = np.random.default_rng(i)
        pixels = chance.integers(0, 256, (30, 50, 3), dtype=np.uint8)
        (root / "cat").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(root / "cat" / f"{i}.png")
    return root


def test_evaluate_reads_what_predict_reads(tmp_path):
    root, asked = photographs(tmp_path), predictor()
    data = asked.read_folder(root)
    one_by_one, rows, _ = asked.read(sorted((root / "cat").iterdir()))
    assert rows == [0, 1, 2] and data.labels == ["cat"] * 3
    assert torch.equal(data.x, one_by_one)
    cropped = read_folder(root, 16, fit="crop", resize=20)
    assert torch.equal(data.x, cropped.x)
    assert not torch.equal(data.x, read_folder(root, 16).x)  # squashed


def test_another_size_than_the_backbones_own_is_squashed(tmp_path):
    root = photographs(tmp_path)
    assert torch.equal(predictor(8).read_folder(root).x, read_folder(root, 8).x)
