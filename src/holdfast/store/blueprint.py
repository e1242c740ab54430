"""Blueprint: what a learner that is taught task after task was made from, as JSON data."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch

from holdfast.continual import Continual
from holdfast.errors import HoldfastError, StoreError
from holdfast.learner.backbone import WIDTHS
from holdfast.learner.learner import Learner
from holdfast.memory.protocol import Kind, Protocol
from holdfast.recipes import make
from holdfast.settings import Machine, Model, Training
from holdfast.stream.augment import Augment
from holdfast.stream.sets import suited

LARGEST = 2**20  # numbers along one axis of an input, or in the description of a network
LAYERS = 1000  # of a described network


@dataclass(frozen=True)
class Blueprint:
    """All arguments of a `Continual` but the device, by value.

    Attributes:
        recipe: its name.
        parameters: of the recipe.
        shape: of one input, (C, H, W) or (D,).
        protocol, images: what may be stored.
        readout, also: how classes are decided.
        training, model: as in the settings of a run; the next update may train otherwise.
        precision: of the forward pass.
        augment: the random views; empty for those that suit the shape.
        seed: of weights, batches and views.
    """

    recipe: str
    shape: tuple[int, ...]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    protocol: Kind = "strict"
    images: int = 0
    readout: str = "auto"
    also: tuple[str, ...] = ()
    training: Training = Training()
    model: Model = Model()
    precision: Any = "32-true"
    augment: Augment | None = None
    seed: int = 0

    def build(self, device: str = "auto") -> Continual:
        """The learner, before it has learned anything (ConfigError for parts that do not fit)."""
        method = make(self.recipe, **self.parameters)
        return Continual(
            method,
            self.shape,
            self.training,
            Protocol(self.protocol, self.images),
            self.readout,
            self.also,
            self.model,
            Machine(device, self.precision),
            self.augment or suited(self.shape, method.views),
            self.seed,
        )

    def named(self, core: Continual) -> Blueprint:
        """The same, with a pretrained backbone described by itself: its folder may go."""
        written = getattr(core.learner.backbone, "written", self.model.backbone)
        return replace(self, model=replace(self.model, backbone=written))

    def to_data(self) -> dict[str, Any]:
        """As JSON data."""
        return asdict(self) | {"shape": list(self.shape), "also": list(self.also)}

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Blueprint:
        """From JSON data, of whatever origin.

        Raises:
            StoreError: for data that describe nothing that can be built.
        """
        try:
            augment = dict(data["augment"]) if data["augment"] else None
            if augment:
                augment |= {name: tuple(augment[name]) for name in ("crop", "jitter")}
            made = cls(**dict(data) | {
                "shape": tuple(data["shape"]),
                "also": tuple(data["also"]),
                "parameters": dict(data["parameters"]),
                "training": Training(**data["training"]),
                "model": Model(**data["model"]),
                "augment": Augment(**augment) if augment else None,
            })  # fmt: skip
            if not 0 < len(made.shape) < 4 or not all(
                isinstance(n, int) and 0 < n <= LARGEST for n in made.shape
            ):
                raise ValueError(f"an input of shape {made.shape}")
        except (KeyError, TypeError, ValueError, HoldfastError) as error:
            raise StoreError(
                f"the model cannot be built ({type(error).__name__}: {error})."
            ) from None
        return made

    def require(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Refuse weights that this does not describe, before any memory is taken for either.

        Args:
            shapes: of the learner's weights, by name, as a file declares them.

        Raises:
            StoreError: naming the first weight that differs.
        """
        _bounded(self.model.backbone)
        dim = shapes.get("projector.2.bias", (0,))[0]
        if self.parameters.get("dim", 128) != dim or self.parameters.get("classes", 0) > dim + 1:
            raise StoreError(
                f"the model declares dim {self.parameters.get('dim')}, the weights {dim}."
            )
        try:
            with torch.device("meta"):
                learner = Learner(
                    self.shape,
                    self.model.backbone,
                    self.model.width,
                    dim,
                    0,
                    self.model.tune_layers,
                )
        except (RuntimeError, OverflowError, TypeError, HoldfastError) as error:
            reason = str(error).splitlines()[0]
            raise StoreError(
                f"the network that the model declares cannot be made ({reason})."
            ) from None
        for name, tensor in learner.state_dict().items():
            found, declared = shapes.get(name), tuple(tensor.shape)
            if name.startswith("head."):
                found = found and (declared[0], *found[1:])
            if found != declared:
                raise StoreError(
                    f"the model declares {name} of shape {declared} ({math.prod(declared):,} numbers), "
                    f"the weights {found}."
                )


def _bounded(backbone: str) -> None:
    """Refuse a backbone that would be fetched from elsewhere, or described in absurd numbers.

    Raises:
        StoreError: naming it.
    """
    if backbone in ("auto", *WIDTHS):
        return
    try:
        told = json.loads(backbone)
        largest = max(_numbers(told), default=0)
        layers = max(_numbers(told, "layer", "depth"), default=0)
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
