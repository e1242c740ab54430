"""Setup: how a run goes, as one value, and the one place that decides what was not said."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from typing import Any, cast, get_args

from holdfast.core.errors import ConfigError, unknown
from holdfast.core.grammar import fitted, listed, type_hints
from holdfast.core.settings import Machine, Network, Training
from holdfast.learner.identity import frozen_backbone
from holdfast.memory.protocol import Kind, Protocol
from holdfast.readout.readout import Readout
from holdfast.recipes.catalogue import make
from holdfast.recipes.method import Method
from holdfast.recipes.presets import Preset, find_preset
from holdfast.stream.augment import Augment
from holdfast.stream.sets import suited, views_named

GROUPS = {"training": Training, "network": Network, "machine": Machine}
FIELDS = {f.name: group for group, kind in GROUPS.items() for f in fields(kind)}
PLAIN = ("protocol", "images", "readout", "also", "augment", "seed")
LATER = (  # settings that came later
    ("machine", "devices"), ("machine", "sync_norm"), ("training", "lr_schedule"),
    ("network", "normalise"),
)  # fmt: skip
NAMES = (*GROUPS, *FIELDS, *PLAIN)


@dataclass(frozen=True)
class Setup:
    """How a run goes, whatever its method and data.

        >>> Setup.of("lwf", "desk", seed=1, epochs=3).training.epochs
        3

    Attributes:
        training: epochs, batch size and optimiser settings.
        network: backbone, width, mode of the past network.
        machine: device and precision.
        protocol: what may be stored; None takes the method's own.
        readout: how classes are decided, by name or a readout of your own, of which a copy is used;
            auto lets the protocol choose.
        also: further readouts to read the same network with.
        augment: the random views, by name or a value; auto chooses by the inputs' shape.
        seed: of weights, batches and views; same seed, same machine: same bits.

    Raises:
        ConfigError: for a value of another type.
    """

    training: Training = Training()
    network: Network = Network()
    machine: Machine = Machine()
    protocol: Protocol | None = None
    readout: str | Readout = "auto"
    also: tuple[str | Readout, ...] = ()
    augment: str | Augment = "auto"
    seed: int = 0

    def __post_init__(self):
        kinds = GROUPS | {"readout": (str, Readout), "augment": (str, Augment)}
        for name, kind in kinds.items():
            value = getattr(self, name)
            if not isinstance(value, kind):
                raise ConfigError(f"{name} cannot be {value!r}: leave it out for the default.")
        if not isinstance(self.protocol, Protocol | None):
            raise ConfigError(
                f"protocol cannot be {self.protocol!r}: leave it out for the default."
            )
        parts = self.also if isinstance(self.also, (tuple, list)) else [None]
        if not all(isinstance(part, (str, Readout)) for part in parts):
            raise ConfigError(
                f"also must be a tuple of readouts, such as ('mean',), not {self.also!r}."
            )
        if isinstance(self.seed, bool) or not isinstance(self.seed, int):
            raise ConfigError(f"seed must be a whole number, not {self.seed!r}.")

    @classmethod
    def of(
        cls,
        recipe: str | Method,
        preset: str | Preset = "auto",
        shape: tuple[int, ...] | None = None,
        **overrides: Any,
    ) -> Setup:
        """The setup of a recipe under a preset: the one place where what was not said is decided.

        The command line, the estimator and stored models all ask here, so that the same words mean
        the same run.

        Args:
            recipe: by name, perhaps with settings, or a method of your own.
            preset: by name, see `find_preset`.
            shape: of one input, by which ``auto`` chooses the preset.
            overrides: any field of `Setup`, `Training`, `Network` or `Machine` by its name, and
                ``images`` of the protocol; None leaves the preset's. ``epochs`` alone is for the first
                task too.

        Raises:
            ConfigError: for an unknown name or a value of another type.
        """
        chosen = preset if isinstance(preset, Preset) else find_preset(preset, shape)
        method = make(recipe, chosen) if isinstance(recipe, str) else recipe
        base = cls(
            training=chosen.training_of(method.name),
            network=chosen.network,
            augment=chosen.augment if method.views > 1 else "auto",
        )
        setup = base.updated(method, **overrides)
        return setup if shape is None else setup.on(method, tuple(shape))

    def updated(self, method: Method | None = None, **overrides: Any) -> Setup:
        """The same with some settings changed; the names are those of `of`.

        Args:
            method: whose own protocol ``images`` or ``protocol`` are relative to.
            overrides: see `of`.
        """
        values = {name: value for name, value in overrides.items() if value is not None}
        for name in values:
            if name not in NAMES:
                raise unknown("setting", name, NAMES)
        if "epochs" in values:
            values.setdefault("first_epochs", values["epochs"])
        changed: dict[str, Any] = {name: values.pop(name) for name in GROUPS if name in values}
        for group, kind in GROUPS.items():
            hints = type_hints(kind)
            settings = {
                n: fitted(values.pop(n), hints[n], n)
                for n in list(values)
                if FIELDS.get(n) == group
            }
            if settings:
                changed[group] = replace(changed.get(group, getattr(self, group)), **settings)
        if "protocol" in values or "images" in values:
            usual = self.protocol or (method.protocol if method else Protocol())
            changed["protocol"] = _protocol(
                usual, values.pop("protocol", "auto"), values.pop("images", 0)
            )
        if isinstance(values.get("also"), str):
            values["also"] = tuple(listed(values["also"]))
        return replace(self, **changed, **values)

    def protocol_of(self, method: Method) -> Protocol:
        """What may be stored."""
        return self.protocol or method.protocol

    def augment_of(self, method: Method, shape: tuple[int, ...]) -> Augment:
        """The random views of inputs of a shape (ConfigError for an unknown name)."""
        if isinstance(self.augment, Augment):
            return self.augment
        if self.augment == "auto":
            return suited(shape, method.views)
        return views_named(self.augment, shape, method.views)

    def on(self, method: Method, shape: tuple[int, ...]) -> Setup:
        """The same with the backbone chosen, where ``auto`` is for a method that trains no network."""
        if self.network.backbone != "auto" or not method.freezes:
            return self
        return replace(self, network=replace(self.network, backbone=frozen_backbone(shape)))

    def to_dict(self) -> dict[str, Any]:
        """As plain data, for results and for telling two setups apart."""
        data = {name: asdict(getattr(self, name)) for name in GROUPS}
        for group, name in LATER:  # left out at their default: identities stay
            if data[group][name] == getattr(GROUPS[group], name):
                del data[group][name]
        text = lambda readout: readout if isinstance(readout, str) else readout.name
        augment = self.augment if isinstance(self.augment, str) else asdict(self.augment)
        return data | {
            "protocol": None if self.protocol is None else str(self.protocol),
            "readout": text(self.readout),
            "also": [text(readout) for readout in self.also],
            "augment": augment,
            "seed": self.seed,
        }


def as_setup(value: Setup | Training) -> Setup:
    """A setup; a training alone stands for a setup with everything else at its default.

    Raises:
        ConfigError: for anything else.
    """
    if isinstance(value, Training):
        return Setup(training=value)
    if not isinstance(value, Setup):
        raise ConfigError(f"a run takes a Setup, such as Setup.of('lwf', seed=1), not {value!r}.")
    return value


def _protocol(usual: Protocol, kind: str | Protocol, images: int) -> Protocol:
    """A protocol by name; ``auto`` is the usual one, whose number of images may be changed."""
    if isinstance(kind, Protocol):
        return kind
    if kind == "auto":
        kind = usual.kind
    if kind not in get_args(Kind):
        raise unknown("protocol", str(kind), (*get_args(Kind), "auto"))
    images = fitted(images, int, "images")
    return Protocol(cast("Kind", kind), images or (usual.images if kind == usual.kind else 0))
