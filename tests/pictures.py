"""Folders of small pictures, one folder a class."""

import numpy as np
from PIL import Image


def write_pictures(folder):
    """4 classes of 5 images of 12 x 12 pixels; the folder."""
    chance = np.random.default_rng(0)
    for label in ("ant", "bee", "cow", "dog"):
        (folder / label).mkdir(parents=True)
        for i in range(5):
            pixels = chance.integers(256, size=(12, 12, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / label / f"{i}.png")
    return folder
