"""What ``holdfast learn`` was asked: a new model's blueprint, or that of the model to extend."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from holdfast.cli.engine import cluster_of, refuse_training
from holdfast.cli.fixed import FIXED, parameters_in, refuse_changes
from holdfast.cli.options import Learn
from holdfast.cli.taking_over import elder_of, handed_over
from holdfast.core.errors import ConfigError
from holdfast.core.registry import closed
from holdfast.learner.backbone import make_backbone
from holdfast.learner.cache import FeatureCache
from holdfast.learner.identity import frozen_backbone, has_lite
from holdfast.learner.linked import link_name
from holdfast.learner.lite0 import SIZE
from holdfast.recipes.catalogue import make
from holdfast.recipes.frozen import SCRATCH, asks_training, usual_recipe
from holdfast.serve.predictor import require_fitting
from holdfast.store.embedded import embed_listed, embeds
from holdfast.store.manifest import Manifest
from holdfast.store.model import ModelFolder
from holdfast.stream.columns import Side
from holdfast.stream.labelled import list_labelled
from holdfast.stream.listed import LabelledImages, Listed
from holdfast.train.blueprint import Blueprint
from holdfast.train.continual import Continual

if TYPE_CHECKING:
    from holdfast.spread.over_ray import Spread

TRAINING = ("epochs", "first_epochs", "batch", "lr")  # 0 where they were not given
PHOTOGRAPHS = 64  # pixels of the shorter side from which on images are taken for photographs
HINT = (
    "a network is trained from scratch; for photographs a pretrained one is right far more often, in "
    "seconds: pip install 'holdfast[lite]', and make the model anew"
)


@dataclass(frozen=True)
class Reader:
    """How a model reads labelled folders: as pixels, or as features of its frozen backbone.

    Attributes:
        blueprint: of the model.
        core: the learner, if it is made already; None reads pixels as they are.
        base: the version that the learner was loaded from; None for a new model.
        cache: of features; None reads pixels.
        progress: called with the images done and all images.
        spread: the cluster that reads images to be learned; None reads them here.
    """

    blueprint: Blueprint
    core: Continual | None = None
    base: Manifest | None = None
    cache: FeatureCache | None = None
    progress: Callable[[int, int], object] | None = None
    spread: Spread | None = None

    @classmethod
    def of(
        cls, blueprint: Blueprint, core: Continual, base: Manifest | None, cache: Path
    ) -> Reader:
        """Through the frozen backbone of a method that trains no network, else as pixels."""
        return cls(blueprint, core, base, FeatureCache(cache) if embeds(core) else None)

    def read(self, source: Path | Listed, options: Learn, part: Side) -> LabelledImages:
        """The part of labelled data, listed or not, as the model takes it."""
        strict, levels = options.strict_data, self.blueprint.levels
        listed = list_labelled(source, strict=strict, part=part)
        require_fitting(listed, self.blueprint.shape, options.model)
        if self.spread is not None and part == "train":
            from holdfast.spread.learning import learn_spread

            return learn_spread(listed, self.core, self.spread, strict, levels, self.progress)
        if listed.vectors is not None:
            return listed.read()
        learner = None if self.core is None else self.core.learner
        if learner is not None and self.cache is not None:
            return embed_listed(listed, learner, self.cache, strict, levels, self.progress)
        size, square = self.blueprint.shape[1], {} if learner is None else learner.square
        return listed.read(size, strict, levels, **square)


def asked_model(
    folder: ModelFolder,
    options: Learn,
    progress: Callable[[int, int], object] | None = None,
    source: Path | Listed | None = None,
) -> tuple[Reader, LabelledImages]:
    """How the model reads, with its blueprint, and the images it is to learn.

    Args:
        folder: of the model.
        options: of the command.
        progress: called with the images that went through a frozen backbone, and all of them.
        source: of the images, in place of that of the options.

    Raises:
        ConfigError: for settings that do not fit, or that differ from those of the model.
        DataError: for images that cannot be read.
    """
    hints: list[str] = []
    source, per_class = source or options.data, options.per_class or None
    spread = cluster_of(options)
    listed = list_labelled(source, per_class, 0, options.strict_data, "train", options.labels)
    if folder.exists:
        reader = _extended(Blueprint.from_data(folder.manifest().blueprint), folder, options)
    else:
        recipe, backbone, hints = _usual(options, listed)
        asked = {name: getattr(options, name) for name in (*TRAINING, *FIXED)}
        asked |= {name: asked[name] or None for name in TRAINING} | {"backbone": backbone}
        make_blueprint = lambda shape: Blueprint.of(
            recipe, shape, options.preset, parameters_in(recipe, options.parameters), **asked
        )
        elder = None if options.past is None else elder_of(options, listed)
        shape = _shape(listed, backbone, options) if elder is None else elder.learner.shape
        if shape is None:
            return _by_its_data(make_blueprint, options, listed, hints)
        blueprint = make_blueprint(shape)
        core = blueprint.build(options.device)
        if options.link_backbone:
            linked = link_name(str(backbone), core.learner.backbone)
            blueprint = replace(blueprint, linked=linked)
        reader = Reader.of(blueprint, core, None, options.cache or folder.features)
        if elder is not None:
            return handed_over(replace(reader, progress=progress), elder, listed, options)
    data = replace(reader, progress=progress, spread=spread).read(listed, options, "train")
    levels = reader.blueprint.levels or data.levels
    return replace(reader, blueprint=replace(reader.blueprint, levels=levels)), data


def _shape(listed: Listed, backbone: str | None, options: Learn) -> tuple[int, ...] | None:
    """Of an input of a new model; None where its images have to be read first."""
    if listed.vectors is not None:
        if options.size:
            raise ConfigError(
                f"--size is for images, and {listed.where} holds vectors: leave it out."
            )
        return tuple(listed.vectors.shape[1:])
    side = 0 if backbone is None else options.size or native_size(backbone)
    return (3, side, side) if side else None


def _by_its_data(
    make_blueprint: Callable[[tuple[int, ...]], Blueprint],
    options: Learn,
    listed: Listed,
    hints: list[str],
) -> tuple[Reader, LabelledImages]:
    """A model of whatever size its first images have; its network is trained."""
    refuse_training(options)
    if options.link_backbone:
        raise ConfigError("--link-backbone needs a pretrained network: give --backbone.")
    data = listed.read(options.size or None, options.strict_data)
    blueprint = replace(make_blueprint(tuple(data.x.shape[1:])), levels=data.levels)
    return Reader(blueprint), replace(data, notes=[*data.notes, *hints])


def _usual(options: Learn, listed: Listed) -> tuple[str, str | None, list[str]]:
    """Recipe and backbone where they were not named, and what else would be better."""
    if options.past is not None:
        return options.recipe or "ofa", options.backbone, []
    scratch, trained = usual_recipe((3, 1, 1)), asks_training(options)
    if listed.vectors is not None:
        shape = tuple(listed.vectors.shape[1:])
        recipe = options.recipe or usual_recipe(shape, options.backbone or "auto", trained)
        identity = make(recipe).freezes and options.backbone in (None, "auto")
        return recipe, frozen_backbone(shape) if identity else options.backbone, []
    if options.recipe or options.backbone or trained or options.size:
        recipe = options.recipe or usual_recipe((3, 1, 1), options.backbone or "auto", trained)
        backbone = options.backbone
        if make(recipe).freezes and backbone in (None, "auto"):
            side = options.size or listed.side
            backbone = frozen_backbone((3, side, side))
        return recipe, backbone, []
    if listed.side < PHOTOGRAPHS:
        return scratch, None, []
    return ("frozen", "lite0", []) if has_lite() else (scratch, None, [HINT])


def native_size(backbone: str) -> int:
    """The side of images that a pretrained backbone wants; 0 for one that takes any."""
    if backbone.split(":")[0] in (*SCRATCH, "auto", "identity"):
        return 0
    if backbone == "lite0":
        return SIZE
    return make_backbone(backbone, (3, 64, 64)).size or 0


def _extended(former: Blueprint, folder: ModelFolder, options: Learn) -> Reader:
    """The model's own blueprint, with the training that was asked for."""
    if options.past is not None:
        raise ConfigError(f"--past is for a new model, and {folder.path} is one already.")
    if options.size not in (0, former.shape[-1]):
        kind = "images of size" if len(former.shape) == 3 else "vectors of"
        raise ConfigError(f"{folder.path} takes {kind} {former.shape[-1]}, not {options.size}.")
    with closed():  # what a stored model names is never imported for it
        refuse_changes(former, options, folder)
    training = {name: getattr(options, name) or None for name in TRAINING}
    training["first_epochs"] = options.first_epochs or former.setup.training.first_epochs
    blueprint = replace(former, setup=former.setup.updated(**training))
    core, base = folder.load(device=options.device)
    return Reader.of(blueprint, core, base, options.cache or folder.features)
