"""Labelled data as features: what a model with a frozen backbone learns from and is measured on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from holdfast.learner.cache import FeatureCache
from holdfast.learner.embed import embed
from holdfast.learner.learner import Learner
from holdfast.stream.columns import Side
from holdfast.stream.labelled import list_labelled
from holdfast.stream.levels import Levels
from holdfast.stream.listed import LabelledImages, Listed
from holdfast.train.continual import Continual


def embeds(core: Continual) -> bool:
    """Whether a learner is taught features of a frozen backbone, in place of pixels."""
    backbone = core.learner.backbone
    return core.method.freezes and backbone.frozen and backbone.size is not None


def embed_listed(
    listed: Listed,
    learner: Learner,
    cache: FeatureCache | None = None,
    strict: bool = False,
    levels: Levels | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> LabelledImages:
    """Images as features; no more than one batch of pixels is in memory at a time.

    Args:
        listed: images (`holdfast.stream.list_labelled`).
        learner: with a frozen backbone.
        cache: where features are kept.
        strict: refuse an image that cannot be read, in place of skipping it.
        levels: of greys of more than 8 bits; None finds them from these images.
        progress: called with the images done and all images.

    Raises:
        DataError: if no image can be read.
        StoreError: if the cache cannot be used.
    """
    assert listed.pictures is not None
    wanted = listed.pictures, listed.rows
    out = embed(learner, wanted, cache, levels=levels, strict=strict, progress=progress)
    return listed.labelled(out.features, out.rows.tolist(), out.skipped, out.levels, levels)


def embed_folder(
    root: str | Path,
    learner: Learner,
    cache: FeatureCache | None = None,
    per_class: int | None = None,
    strict: bool = False,
    part: Side = "train",
    levels: Levels | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> LabelledImages:
    """The images of a folder or table, listed by `holdfast.stream.list_labelled`, as features.

    Args:
        root: the folder, or any other source of images.
        learner: with a frozen backbone.
        cache: where features are kept.
        per_class: at most so many images of each class.
        strict: refuse what would be skipped, in place of listing it.
        part: train, or test where there is one.
        levels: of greys of more than 8 bits; None finds them from these images.
        progress: called with the images done and all images.

    Raises:
        DataError: if it is no folder, has no such part, or no image in it can be read.
        StoreError: if the cache cannot be used.
    """
    listed = list_labelled(root, per_class, strict=strict, part=part)
    return embed_listed(listed, learner, cache, strict, levels, progress)
