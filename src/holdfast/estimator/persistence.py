"""Persistence: a classifier as a model folder and back, without pickle."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from holdfast.core.errors import ConfigError, StoreError
from holdfast.store.lock import nothing_left
from holdfast.store.manifest import Manifest
from holdfast.store.model import ModelFolder
from holdfast.stream.labels import plain
from holdfast.stream.levels import Levels
from holdfast.train.blueprint import Blueprint
from holdfast.train.continual import Continual

KEPT = (  # parameters of a classifier that a folder keeps
    "recipe", "parameters", "epochs", "first_epochs", "batch", "lr", "protocol", "images", "readout",
    "backbone", "width", "tune_layers", "augment",
)  # fmt: skip

Classifier = TypeVar("Classifier", bound="Persistent")


class Persistent(BaseEstimator):
    """The part of `HoldfastClassifier` that writes and reads model folders."""

    classes_: np.ndarray
    continual_: Continual
    _blueprint: Blueprint | None
    _levels: Levels | None

    if TYPE_CHECKING:

        def __init__(self, **parameters: Any): ...

        def _take(self, core: Continual, blueprint: Any, levels: Any, classes: Any) -> None: ...

    def save(self, path: str | Path) -> int:
        """Write a model folder, or its next version; nothing is pickled. Labels become names.

        The command line reads it as any other: ``holdfast predict``, ``serve``, ``export``.

        Args:
            path: of the folder.

        Returns:
            The number of the version.

        Raises:
            ConfigError: for a recipe that is a value and has no name, or a folder of another model.
            StoreError: if it cannot be written.
        """
        check_is_fitted(self, "continual_")
        blueprint = self._blueprint
        if blueprint is None:
            raise ConfigError(
                "a Method by value has no name that a file can hold: register it as a recipe and "
                "give its name."
            )
        setup = replace(blueprint.setup, training=self.continual_.setup.training)
        blueprint = replace(blueprint, setup=setup, levels=self._levels)
        parameters = self.get_params(deep=False)
        return write_folder(path, self.continual_, blueprint, self.classes_, parameters).version

    @classmethod
    def load(
        cls: type[Classifier], path: str | Path, version: int | None = None, device: str = "auto"
    ) -> Classifier:
        """A classifier from a model folder, of `save` or of ``holdfast learn``; it can learn further.

        Args:
            path: of the folder.
            version: which; None is the one in use.
            device: auto, cpu, cuda or mps.

        Raises:
            StoreError: if there is none, or it is damaged.
        """
        core, blueprint, classes, parameters = read_folder(path, version, device)
        model = cls(**parameters, device=device, random_state=blueprint.setup.seed)
        model._take(core, blueprint, blueprint.levels, classes)
        return model


def write_folder(
    path: str | Path,
    core: Continual,
    blueprint: Blueprint,
    classes: np.ndarray,
    parameters: Mapping[str, Any],
) -> Manifest:
    """Publish a classifier as the next version of a model folder; labels become names.

    Args:
        path: of the folder; made if it is not there.
        core: the learner.
        blueprint: what it was made from.
        classes: its labels, with those declared.
        parameters: of the classifier.

    Raises:
        ConfigError: if another kind of model is there.
        StoreError: if it cannot be written.
    """
    folder = ModelFolder(path)
    names = copy.copy(core)
    names.progress = replace(core.progress, labels=tuple(str(label) for label in core.labels))
    with nothing_left(folder.path), folder.lock():
        if folder.exists:
            _refuse_another(folder, blueprint)
        kept = {name: parameters[name] for name in KEPT}
        notes = {"kind": classes.dtype.kind, "classes": plain(classes), "parameters": kept}
        return folder.publish(names, blueprint, {"classifier": notes}, "saved by a classifier")


def read_folder(
    path: str | Path, version: int | None, device: str
) -> tuple[Continual, Blueprint, np.ndarray, dict[str, Any]]:
    """The learner, its blueprint, the labels, and the parameters of a classifier.

    Args:
        path: of a model folder, of a classifier or of the command line.
        version: which; None is the one in use.
        device: auto, cpu, cuda or mps.

    Raises:
        StoreError: if there is none, or it is damaged.
    """
    core, manifest = ModelFolder(path).load(version, device)
    blueprint = Blueprint.from_data(manifest.blueprint)
    notes = _notes(manifest, path)
    if notes.get("kind") in ("i", "u", "b") and all(_whole(label) for label in core.labels):
        core.progress = replace(core.progress, labels=tuple(int(label) for label in core.labels))
    declared = notes.get("classes", [])
    fits = all(type(label) is type(core.labels[0]) for label in declared)
    labels = sorted({*core.labels, *(declared if fits else ())})  # type: ignore[type-var]
    parameters = {name: notes.get("parameters", {}).get(name) for name in KEPT}
    return core, blueprint, np.array(labels), parameters if notes else _of_command(blueprint)


def _notes(manifest: Manifest, path: str | Path) -> dict[str, Any]:
    """What a classifier noted; empty for a model of the command line."""
    notes = manifest.update.get("classifier", {})
    good = isinstance(notes, dict) and (
        not notes
        or (isinstance(notes.get("classes"), list) and isinstance(notes.get("parameters"), dict))
    )
    if not good:
        raise StoreError(f"{path} holds notes of a classifier that cannot be read: {notes!r:.100}.")
    return notes


def _of_command(blueprint: Blueprint) -> dict[str, Any]:
    """The parameters that say what the command line said."""
    setup = blueprint.setup
    training, network = setup.training, setup.network
    protocol = setup.protocol_of(blueprint.method())
    return {
        "recipe": blueprint.recipe,
        "parameters": dict(blueprint.parameters),
        "epochs": training.epochs,
        "first_epochs": training.first_epochs,
        "batch": training.batch,
        "lr": training.lr,
        "protocol": protocol.kind,
        "images": protocol.images,
        "readout": setup.readout,
        "backbone": network.backbone,
        "width": network.width,
        "tune_layers": network.tune_layers,
        "augment": setup.augment if isinstance(setup.augment, str) else "auto",
    }


def _whole(label: Any) -> bool:
    return str(label).lstrip("-").isdigit()


def _refuse_another(folder: ModelFolder, blueprint: Blueprint) -> None:
    """A folder keeps versions of one model (ConfigError)."""
    there = Blueprint.from_data(folder.manifest().blueprint)
    mine = (blueprint.recipe, tuple(blueprint.shape))
    if (there.recipe, tuple(there.shape)) != mine:
        raise ConfigError(
            f"{folder.path} is a model of recipe {there.recipe} with inputs of shape {there.shape}, not "
            f"{mine[0]} with {mine[1]}: choose another folder."
        )
