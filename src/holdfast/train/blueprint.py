"""Blueprint: what a learner is made from, by value, as the command line and stored models have it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from holdfast.core.added import PARAMETER, part_texts
from holdfast.core.errors import ConfigError, HoldfastError, StoreError
from holdfast.core.registry import Entry, Registry
from holdfast.core.settings import Machine, Network, Training
from holdfast.learner.backbone import BACKBONES
from holdfast.memory.protocol import Protocol
from holdfast.readout import READOUTS
from holdfast.recipes.adding import PARTS
from holdfast.recipes.catalogue import RECIPES, make, resolve
from holdfast.recipes.former import EDITION, as_made
from holdfast.recipes.method import Method
from holdfast.recipes.presets import Preset, find_preset
from holdfast.stream.augment import Augment
from holdfast.stream.levels import Levels
from holdfast.train.continual import Continual
from holdfast.train.setup import Setup

LARGEST = 2**20  # numbers along one axis of an input, or in the description of a network


@dataclass(frozen=True)
class Blueprint:
    """A recipe with its parameters, the shape of an input, and how it goes.

    Attributes:
        recipe: its name.
        shape: of one input, (C, H, W) or (D,).
        parameters: of the recipe.
        setup: how it goes; the next update of a stored model may train otherwise.
        levels: ``low`` and ``bits`` of the greys of images of more than 8 bits; None for images of 8.
        plugins: parts that are not the package's own, each with ``kind``, ``name``, ``module`` and
            ``origin``: what must be installed and named before the model can be loaded.
        linked: the name under which the weights of the backbone are found that a stored model does not
            hold; none where it holds them.
    """

    recipe: str
    shape: tuple[int, ...]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    setup: Setup = Setup()
    levels: Levels | None = None
    plugins: tuple[Mapping[str, str], ...] = ()
    linked: str = ""

    @classmethod
    def of(
        cls,
        recipe: str,
        shape: tuple[int, ...],
        preset: str | Preset = "auto",
        parameters: Mapping[str, Any] | None = None,
        **overrides: Any,
    ) -> Blueprint:
        """What a recipe is run with under a preset; the arguments are those of `Setup.of`.

        Raises:
            ConfigError: for an unknown name or a value of another type.
        """
        chosen = preset if isinstance(preset, Preset) else find_preset(preset, shape)
        entry, values = resolve(recipe, chosen, **(parameters or {}))
        setup = Setup.of(
            replace(entry.value(**values), name=entry.name), chosen, shape, **overrides
        )
        return cls(entry.name, tuple(shape), values, setup, plugins=_plugins(entry, values, setup))

    def method(self) -> Method:
        """The method, made anew."""
        return make(self.recipe, **self.parameters)

    def build(self, device: str = "") -> Continual:
        """The learner, before it has learned anything (ConfigError for parts that do not fit)."""
        machine = replace(self.setup.machine, device=device or self.setup.machine.device)
        return Continual(self.method(), self.shape, replace(self.setup, machine=machine))

    def named(self, core: Continual) -> Blueprint:
        """The same as a stored model keeps it: every choice made, a pretrained backbone described by
        itself, because its folder may go.
        """
        backbone = core.learner.backbone.written or self.setup.network.backbone
        network = replace(self.setup.network, backbone=backbone)
        setup = replace(self.setup, network=network, protocol=core.protocol, augment=core.augment)
        return replace(self, setup=setup)

    def to_data(self) -> dict[str, Any]:
        """As JSON data, in the layout of the first format."""
        setup = self.setup
        protocol = setup.protocol or self.method().protocol
        if not all(isinstance(readout, str) for readout in (setup.readout, *setup.also)):
            raise ConfigError("a model that is stored has its readouts by name, not as values.")
        return {
            "recipe": self.recipe,
            "edition": EDITION,
            "parameters": dict(self.parameters),
            "shape": list(self.shape),
            "protocol": protocol.kind,
            "images": protocol.images,
            "readout": setup.readout,
            "also": list(setup.also),
            "training": asdict(setup.training),
            "model": asdict(setup.network),
            "precision": setup.machine.precision,
            "augment": _augment_data(setup.augment),
            "seed": setup.seed,
            "levels": None if self.levels is None else list(self.levels),
            "plugins": [dict(plugin) for plugin in self.plugins],
        } | ({"linked": self.linked} if self.linked else {})

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Blueprint:
        """From JSON data, of whatever origin.

        Raises:
            StoreError: for data that describe nothing that can be built.
        """
        try:
            setup = Setup(
                training=Training(**data["training"]),
                network=Network(**data["model"]),
                machine=Machine(precision=data.get("precision", "32-true")),
                protocol=Protocol(data["protocol"], data["images"]),
                readout=data["readout"],
                also=tuple(data["also"]),
                augment=_augment(data["augment"]),
                seed=data["seed"],
            )
            shape = tuple(data["shape"])
            if not 0 < len(shape) < 4 or not all(
                isinstance(n, int) and 0 < n <= LARGEST for n in shape
            ):
                raise ValueError(f"an input of shape {shape}")
            plugins = tuple(
                {name: str(value) for name, value in plugin.items()}
                for plugin in data.get("plugins", ())
            )
            levels = Levels.from_data(data.get("levels"))
            recipe = str(data["recipe"])
            parameters = as_made(recipe, data["parameters"], int(data.get("edition", 1)))
            linked = str(data.get("linked", ""))
            return cls(recipe, shape, parameters, setup, levels, plugins, linked)
        except (KeyError, TypeError, ValueError, AttributeError, HoldfastError) as error:
            raise StoreError(
                f"the model cannot be built ({type(error).__name__}: {error})."
            ) from None


def _augment_data(augment: Augment | str) -> Any:
    if isinstance(augment, Augment):
        return asdict(augment)
    return None if augment == "auto" else augment


def _augment(data: Any) -> Augment | str:
    if not data:
        return "auto"
    if isinstance(data, str):
        return data
    values: dict[str, Any] = dict(data)
    pairs: dict[str, Any] = {name: tuple(values[name]) for name in ("crop", "jitter")}
    return Augment(**values | pairs)


def _plugins(
    recipe: Entry[Any], parameters: Mapping[str, Any], setup: Setup
) -> tuple[dict[str, str], ...]:
    """The parts of a blueprint that are not the package's own."""
    parts: list[tuple[Registry[Any], Entry[Any]]] = [(RECIPES, recipe)]
    added = part_texts(str(parameters.get(PARAMETER, "")))
    parts += [(PARTS, PARTS.find(text)[0]) for text in added]
    readouts = [text for text in (setup.readout, *setup.also) if isinstance(text, str)]
    parts += [(READOUTS, READOUTS.find(text)[0]) for text in readouts if text != "auto"]
    backbone = setup.network.backbone
    if backbone.split(":")[0] in BACKBONES or (":" in backbone and not backbone.startswith("{")):
        parts.append((BACKBONES, BACKBONES.find(backbone)[0]))
    return tuple(
        {"kind": registry.kind, "name": entry.name, "module": entry.module, "origin": entry.origin}
        for registry, entry in parts
        if not entry.builtin
    )
