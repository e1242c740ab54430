"""Whether two learners see alike, so that statistics of one are statistics of the other."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from holdfast.core.errors import ConfigError
from holdfast.train.blueprint import Blueprint
from holdfast.train.continual import Continual


def require_alike(
    a: tuple[Continual, Blueprint], b: tuple[Continual, Blueprint], names: tuple[str, str]
) -> None:
    """Refuse two models whose classes cannot be brought together, naming what differs.

    Args:
        a: a learner, and what it was made from.
        b: the other.
        names: of the two, for the message.

    Raises:
        ConfigError: for another network, reading of images, or readouts.
    """
    for what, mine, theirs in differences(a, b):
        raise ConfigError(
            f"{names[0]} and {names[1]} cannot be merged: {what} of the one is {mine}, of the other "
            f"{theirs}. Models that are merged see alike, so that their statistics mean the same."
        )


def differences(
    a: tuple[Continual, Blueprint], b: tuple[Continual, Blueprint]
) -> Iterator[tuple[str, str, str]]:
    """What differs, and how it is in each."""
    (one, first), (other, second) = a, b
    shapes = ("x".join(map(str, core.learner.shape)) for core in (one, other))
    pairs = [
        ("the recipe", one.method.name, other.method.name),
        ("the protocol", str(one.protocol), str(other.protocol)),
        ("the input", *shapes),
        ("the range of greys", str(first.levels), str(second.levels)),
        ("the precision", one.setup.machine.precision, other.setup.machine.precision),
        ("the backbone", _backbone(one, first), _backbone(other, second)),
    ]
    yield from (pair for pair in pairs if pair[1] != pair[2])
    mine, theirs = (_network(core) for core in (one, other))
    for name in sorted(mine.keys() | theirs.keys()):
        left, right = mine.get(name), theirs.get(name)
        if left is None or right is None or left.shape != right.shape:
            yield f"the weight {name}", _shape(left), _shape(right)
        elif not torch.equal(left, right):
            yield f"the weight {name}", "one", "another of the same shape"
    yield from _readouts(one, other)


def _readouts(one: Continual, other: Continual) -> Iterator[tuple[str, str, str]]:
    left, right = ", ".join(one.readouts), ", ".join(other.readouts)
    if left != right:
        yield "the readout", left, right
        return
    settings = [core.identity["readout_settings"] for core in (one, other)]
    for name in one.readouts:
        for key in sorted(settings[0][name].keys() | settings[1][name].keys()):
            values = [str(setting[name].get(key)) for setting in settings]
            if values[0] != values[1]:
                yield f"{key} of the readout {name}", values[0], values[1]


def _backbone(core: Continual, blueprint: Blueprint) -> str:
    """Name and weights of a backbone, in short."""
    network = blueprint.setup.network
    name = "a described one" if network.backbone.startswith("{") else network.backbone
    sha256 = core.learner.backbone.sha256
    return f"{name}{f' of sha256 {sha256[:12]}' if sha256 else ''}"


def _network(core: Continual) -> dict[str, Tensor]:
    """All weights and the normalisation; the head's rows are of classes."""
    state = core.learner.state_dict()
    return {name: value for name, value in state.items() if not name.startswith("head.")}


def _shape(value: Tensor | None) -> str:
    return "missing" if value is None else f"of shape {tuple(value.shape)}"
