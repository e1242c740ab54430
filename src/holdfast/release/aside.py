"""Kept aside: images of an update that are measured on, where no golden set was given."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Shaped
from torch import Tensor

from holdfast.readout.held_out import FOLDS, scene_folds
from holdfast.release.alike import contents

LEAST = 20  # images of a class below which none is kept aside
SHARE = 0.1
MOST = 50  # images of a class


@dataclass(frozen=True)
class Split:
    """Places of the images to learn, and of those to measure on; ascending."""

    learn: list[int]
    measure: list[int]


def keep_aside(x: Shaped[Tensor, "n ..."], labels: Sequence[str], scenes: bool = False) -> Split:
    """Which images are measured on; it depends on what they are, not on their order.

    Args:
        x: (N, C, H, W) pixels, or (N, D) features.
        labels: one an image.
        scenes: keep aside the group of similar images of each class that is nearest to a quarter of it,
            for a readout that learns them afterwards; else a tenth, at most 50, by their content.
    """
    aside: list[int] = []
    names = sorted(set(labels))
    place = torch.tensor([names.index(label) for label in labels])
    folds = scene_folds(x, place) if scenes and x.ndim == 2 else None
    hashes = contents(x) if folds is None else []
    for k in range(len(names)):
        rows = (place == k).nonzero()[:, 0].tolist()
        if len(rows) < LEAST:
            continue
        if folds is not None:
            groups = [[i for i in rows if int(folds[i]) == j] for j in range(FOLDS)]
            group = min(groups, key=lambda g: abs(len(g) - len(rows) / FOLDS))
            aside += group if len(group) <= len(rows) / 2 else []
        else:
            count = min(MOST, math.ceil(SHARE * len(rows)))
            aside += sorted(rows, key=lambda i: hashes[i])[:count]
    kept = set(aside)
    return Split([i for i in range(len(labels)) if i not in kept], sorted(aside))
