"""What a stored model declares is checked before any memory is taken, or any code is looked for."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from holdfast.core.errors import HoldfastError, PluginError, StoreError
from holdfast.core.registry import closed
from holdfast.learner.backbone import BACKBONES
from holdfast.learner.heads import head_kind
from holdfast.learner.learner import Learner
from holdfast.learner.linked import INSIDE, linked_weights, with_backbone, without_backbone
from holdfast.train.blueprint import LARGEST, Blueprint
from holdfast.train.continual import Continual

COUNT = re.compile(r"(?<![\w.])\d+(?![\w.])")
SEED = re.compile(r"seed=\d+")
LAYERS = 1000  # of a described network
INPUT = 2**26  # numbers of one input: images of 4,729 x 4,729 pixels
REPEATED = 8  # bytes of weights for a byte of the file: equal tensors are stored once
FREE = 64 * 2**20  # bytes of weights that any file may declare
CLASSES = 2**20


def build(
    blueprint: Blueprint,
    shapes: Mapping[str, tuple[int, ...]],
    device: str,
    size: int | None = None,
) -> Continual:
    """The learner of a stored blueprint; nothing is imported, fetched or run for it.

    Args:
        blueprint: as a manifest declares it.
        shapes: of the learner's weights, by name, as a file declares them.
        device: auto, cpu, cuda or mps.
        size: bytes of that file.

    Raises:
        PluginError: for a part from outside that the user has not named.
        StoreError: for weights that the blueprint does not describe.
    """
    with closed():
        try:
            _refuse_large(blueprint, shapes, size)
            require(blueprint, shapes)
            return blueprint.build(device)
        except PluginError as error:
            raise PluginError(_install(blueprint, str(error))) from None


def _refuse_large(
    blueprint: Blueprint, shapes: Mapping[str, tuple[int, ...]], size: int | None
) -> None:
    """Refuse inputs, weights or settings that would take more memory than a model can need.

    Raises:
        StoreError: naming what is too large.
    """
    numbers = math.prod(blueprint.shape)
    if numbers > INPUT:
        raise StoreError(
            f"the model declares inputs of shape {blueprint.shape}, {numbers:,} numbers: at most {INPUT:,} "
            "are read."
        )
    weights = 4 * sum(map(math.prod, shapes.values()))
    if size is not None and weights > max(REPEATED * size, FREE):
        raise StoreError(
            f"the model declares {weights:,} bytes of weights in a file of {size:,}: no network repeats "
            "itself that often."
        )
    setup = blueprint.setup
    texts = [blueprint.recipe, *map(str, (setup.readout, *setup.also))]
    texts += [str(v) for v in blueprint.parameters.values() if isinstance(v, (int, str))]
    for text in texts:  # a strength may be any number, a count may not
        for number in COUNT.findall(SEED.sub("", text)):
            if len(number) > 7 or int(number) > LARGEST:
                raise StoreError(
                    f"the model declares {number[:20]} in '{text[:80]}': at most {LARGEST:,}."
                )


def bounded_state(state: dict[str, Any], core: Continual) -> dict[str, Any]:
    """A state to restore, if its classes are few enough to make room for.

    Raises:
        StoreError: for a class number that no head of the model reaches.
    """
    seen = state["classes"]["seen"]
    most = max((int(c) for c in seen), default=-1) + 1
    rows = max(len(state["learner"]["head.bias"]), len(core.learner.head.bias), len(seen))
    if most > min(rows, CLASSES):
        raise StoreError(f"the model declares a class {most - 1:,}, and its head has {rows:,}.")
    return state | {"identity": core.identity}


def stored_state(core: Continual, blueprint: Blueprint) -> dict[str, Any]:
    """What a version stores of a learner: its state, but for weights that are linked."""
    return without_backbone(core.state()) if blueprint.linked else core.state()


def whole_state(state: dict[str, Any], core: Continual, blueprint: Blueprint) -> dict[str, Any]:
    """A stored state to restore, with the weights that it links.

    Args:
        state: as it was read.
        core: the learner that is to take it.
        blueprint: of the learner.

    Raises:
        StoreError: as `bounded_state`; for linked weights that are not there, or are others.
    """
    state = bounded_state(state, core)
    if not blueprint.linked:
        return state
    sha256 = core.learner.backbone.sha256
    return with_backbone(state, linked_weights(blueprint.linked, blueprint.shape, sha256))


def _install(blueprint: Blueprint, message: str) -> str:
    """What to install and to name, if the model says where the part came from."""
    for plugin in blueprint.plugins:
        if f"'{plugin.get('name')}'" in message:
            return (
                f"this model uses the {plugin.get('kind')} '{plugin.get('name')}' of "
                f"{plugin.get('origin')}: install that, and name it with --import {plugin.get('module')}."
            )
    return message


def require(blueprint: Blueprint, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Refuse weights that a blueprint does not describe, before any memory is taken for either.

    Raises:
        StoreError: naming the first weight that differs.
    """
    network = blueprint.setup.network
    if any(plugin.get("name") == network.backbone.split(":")[0] for plugin in blueprint.plugins):
        BACKBONES.find(network.backbone)  # a plugin's, which must be installed and named
    _bounded(network.backbone)
    dim = shapes.get("projector.2.bias", (0,))[0]
    parameters = blueprint.parameters
    if parameters.get("dim", dim) != dim or parameters.get("classes", 0) > dim + 1:
        raise StoreError(f"the model declares dim {parameters.get('dim')}, the weights {dim}.")
    try:
        with torch.device("meta"):
            learner = Learner(
                blueprint.shape, network.backbone, network.width, dim, 0, network.tune_layers,
                head_kind(shapes),
            )  # fmt: skip
    except PluginError:
        raise
    except (RuntimeError, OverflowError, TypeError, HoldfastError) as error:
        reason = str(error).splitlines()[0]
        raise StoreError(
            f"the network that the model declares cannot be made ({reason})."
        ) from None
    for name, tensor in learner.state_dict().items():
        if blueprint.linked and name.startswith(INSIDE):
            continue  # they come from elsewhere, and are known by their hash
        stored, declared = shapes.get(name), tuple(tensor.shape)
        if name.startswith("head."):
            stored = stored and (declared[0], *stored[1:])
        if stored != declared:
            raise StoreError(
                f"the model declares {name} of shape {declared} ({math.prod(declared):,} numbers), "
                f"the weights {stored}."
            )


def _bounded(backbone: str) -> None:
    """Refuse a backbone that would be fetched from elsewhere, or described in absurd numbers.

    Raises:
        StoreError: naming it.
    """
    name = backbone.split(":")[0]
    if backbone == "auto" or name in BACKBONES or (":" in backbone and backbone[:1] != "{"):
        return
    try:
        description = json.loads(backbone)
        largest = max(_numbers(description), default=0)
        layers = max(_numbers(description, "layer", "depth"), default=0)
    except (ValueError, RecursionError):
        raise StoreError(
            f"the model declares a backbone '{backbone[:80]}' that is not its own."
        ) from None
    if largest > LARGEST or layers > LAYERS:
        raise StoreError(
            f"the model declares a backbone of {largest:,} channels or {layers:,} layers."
        )


def _numbers(thing: Any, *words: str, inside: bool = False) -> Iterator[int]:
    """Whole numbers within nested data; with words, those below a key that contains one of them."""
    if isinstance(thing, Mapping):
        for key, value in thing.items():
            yield from _numbers(value, *words, inside=inside or any(w in str(key) for w in words))
    elif isinstance(thing, list):
        for value in thing:
            yield from _numbers(value, *words, inside=inside)
    elif isinstance(thing, int) and (inside or not words):
        yield abs(thing)
