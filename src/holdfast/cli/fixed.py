"""Fixed: what a model was made with, and what therefore cannot be asked of it any more."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from holdfast.cli.options import Learn
from holdfast.core.errors import ConfigError
from holdfast.core.grammar import arguments as settings_in
from holdfast.core.settings import flag
from holdfast.recipes.catalogue import resolve
from holdfast.store.model import ModelFolder
from holdfast.train.blueprint import Blueprint

FIXED = ("protocol", "images", "readout", "also", "backbone", "width", "tune_layers", "seed")


def refuse_changes(former: Blueprint, options: Learn, folder: ModelFolder) -> None:
    """What a model was made with cannot change.

    Args:
        former: of the model.
        options: of the command.
        folder: of the model.

    Raises:
        ConfigError: naming the first setting that differs.
    """
    setup = former.setup
    protocol = setup.protocol_of(former.method())
    fixed: Mapping[str, Any] = {
        "protocol": protocol.kind,
        "images": protocol.images,
        "readout": setup.readout,
        "also": ",".join(map(str, setup.also)),
        "backbone": _backbone_name(setup.network.backbone),
        "width": setup.network.width,
        "tune_layers": setup.network.tune_layers,
        "seed": setup.seed,
    }
    asked = {name: getattr(options, name) for name in FIXED}
    values = parameters_in(options.recipe or former.recipe, options.parameters)
    if options.recipe is not None:
        entry, written = resolve(options.recipe)
        fixed, asked = {"recipe": former.recipe} | fixed, {"recipe": entry.name} | asked
        values = written | values
    for name, value in asked.items():
        if value is not None and value != fixed[name]:
            raise ConfigError(
                f"{folder.path} was made with {flag(name)} {fixed[name] if fixed[name] != '' else 'none'}, "
                f"which cannot change to {value}: leave the flag out, or make another model."
            )
    if options.link_backbone and not former.linked:
        raise ConfigError(
            f"{folder.path} holds the weights of its backbone, which --link-backbone cannot change: leave "
            "the flag out, or make another model."
        )
    changed = [name for name, value in values.items() if former.parameters.get(name) != value]
    if changed:
        raise ConfigError(
            f"{folder.path} was made with {changed[0]}={former.parameters.get(changed[0])}, which cannot "
            f"change to {values[changed[0]]}: leave it out, or make another model."
        )


def _backbone_name(text: str) -> str:
    """As it was named when the model was made."""
    return json.loads(text)["name"] if text.startswith("{") else text


def parameters_in(recipe: str, text: str | None) -> dict[str, Any]:
    """Parameters of a recipe from ``tau=0.5,gamma=2``: those that are set, in their types.

    Args:
        recipe: its name.
        text: of ``--parameters``; None sets none.

    Raises:
        ConfigError: for a name that the recipe does not have, or no ``name=value``.
    """
    if not text:
        return {}
    if "=" not in text.split(",")[0]:
        raise ConfigError(f"--parameters takes name=value,name=value, not '{text}'.")
    entry, _ = resolve(recipe)
    return settings_in(entry.value, text, f"recipe {entry.name}")
