"""Options of ``holdfast run``: one flag a field, with defaults from a preset."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, make_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import docstring_parser
import tyro

from holdfast.memory.protocol import Kind, Protocol
from holdfast.method import Method
from holdfast.presets import Preset
from holdfast.readout import READOUTS
from holdfast.settings import Machine
from holdfast.stream.source import source, validation
from holdfast.stream.split import make_stream
from holdfast.stream.task import Stream


@dataclass(frozen=True)
class StreamOptions:
    """What arrives, and in which order.

    Args:
        stream: digits (built in), cifar10, cifar100, tiny-imagenet, or any image dataset of the
            Hugging Face hub as owner/name.
        data: local data in place of the hub: parquet files, or a folder with one folder a class.
        scenario: new classes (class), the same classes with permuted or rotated inputs, or new
            images of the same classes (instance).
        tasks: how many; 0 takes the preset's, at most one a class.
        classes_per_task: uneven cuts such as 4,2,2,2, in place of tasks.
        order_seed: shuffles the classes; without it they come in their own order.
        per_class: training images used of each class; 0 is all.
        test_per_class: test images used of each class; 0 is all.
        size: side to which images are scaled; 0 keeps theirs.
        validation: share of the training images to measure on in place of the test set, for
            choosing parameters.
    """

    stream: str = "digits"
    data: Path | None = None
    scenario: Literal["class", "permuted", "rotated", "instance"] = "class"
    tasks: int = 0
    classes_per_task: str = ""
    order_seed: int | None = None
    per_class: int = 0
    test_per_class: int = 0
    size: int = 0
    validation: float = 0.0

    def make(self, preset: Preset) -> Stream:
        """Load and cut the stream (DataError, ConfigError)."""
        data = source(
            self.stream,
            self.data,
            size=self.size or None,
            per_class=self.per_class or None,
            test_per_class=self.test_per_class or None,
        )
        if self.validation:
            data = validation(data, self.validation)
        cuts = numbers(self.classes_per_task) if self.classes_per_task else None
        tasks = self.tasks or min(preset.tasks, len(data.names))
        return make_stream(data, self.scenario, tasks, cuts, self.order_seed)


READOUT_HELP = (
    f"{', '.join(READOUTS)}; auto lets the protocol choose. Settings follow with colons: "
    "gaussian:embedding reads the embedding, fecam:tukey=1:drift=low_rank sets parameters."
)


@dataclass(frozen=True)
class RunOptions:
    """What is stored, how it is read, and where the results go.

    Args:
        preset: sizes and settings that belong together: quick (digits), desk (CIFAR-10 on two
            cores), paper (as published), or auto. Any flag overrides it.
        protocol: strict stores no image of an old class; auxiliary stores images that train the
            readout only; buffer rehearses them. auto takes the recipe's own.
        images: how many images auxiliary or buffer may store.
        readout: by name, with settings after colons; auto lets the protocol choose.
        also: further readouts to read the same network with, such as mean,gaussian:embedding.
        augment: random views: contrastive, contrastive-tiny, plain, digits, noise, none or auto.
        seed: of weights, batches and views.
        out: folder for the results; by default a fresh readable name under runs/.
        overwrite: replace the folder of an earlier run.
        resume: go on with a run that was stopped, from the end of its last kept epoch; without
            --out, the newest one that these flags would have named.
        quiet: print nothing but errors.
    """

    preset: Literal["auto", "quick", "desk", "paper"] = "auto"
    protocol: Literal["auto", "strict", "auxiliary", "buffer"] = "auto"
    images: int = 0
    readout: Annotated[str, tyro.conf.arg(help=READOUT_HELP)] = "auto"
    also: str = ""
    augment: str = "auto"
    seed: int = 0
    out: Path | None = None
    overwrite: bool = False
    resume: bool = False
    quiet: bool = False

    def protocol_for(self, method: Method) -> Protocol:
        """The protocol the flags ask for; ``--images`` alone resizes the recipe's own."""
        kind: Kind = method.protocol.kind if self.protocol == "auto" else self.protocol
        return Protocol(
            kind, self.images or (method.protocol.images if kind == method.protocol.kind else 0)
        )


def numbers(text: str) -> tuple[int, ...]:
    """Whole numbers from ``4,2,2,2``.

    Raises:
        ConfigError: if it is anything else.
    """
    from holdfast.errors import ConfigError

    try:
        return tuple(int(n) for n in text.split(","))
    except ValueError:
        raise ConfigError(
            f"'{text}' is no list of whole numbers: write for example 4,2,2,2."
        ) from None


def recipe_options(recipe: Callable[..., Method]) -> type:
    """A dataclass with one field a parameter of a recipe, and its docstring as help."""
    doc = docstring_parser.parse(recipe.__doc__ or "")
    meaning = {
        p.arg_name: " ".join((p.description or "").replace("``", "").split()) for p in doc.params
    }
    hints = get_type_hints(recipe)
    columns: list[Any] = [
        (
            name,
            Annotated[hints[name], tyro.conf.arg(help=meaning.get(name, ""))],
            field(default=p.default),
        )
        for name, p in inspect.signature(recipe).parameters.items()
    ]
    return make_dataclass(f"{recipe.__name__} recipe", columns, frozen=True)


def command(recipe: Callable[..., Method], preset: Preset) -> Any:
    """The options of one recipe, as an instance whose values are the preset's."""
    flat = tyro.conf.OmitArgPrefixes
    own = recipe_options(recipe)
    groups: dict[str, Any] = {
        "recipe": own(**preset.recipes.get(recipe.__name__, {})),
        "stream": StreamOptions(per_class=preset.per_class, test_per_class=preset.test_per_class),
        "run": RunOptions(augment=preset.augment),
        "training": preset.training_of(recipe.__name__),
        "model": preset.model,
        "machine": Machine(),
    }
    columns = [
        (name, Annotated[type(value), flat], field(default=value)) for name, value in groups.items()
    ]
    return make_dataclass(recipe.__name__, columns, frozen=True)()


def parse(recipe: Callable[..., Method], preset: Preset, arguments: Sequence[str]) -> Any:
    """Read the flags of ``holdfast run RECIPE`` (tyro leaves with code 2 on a wrong one)."""
    default = command(recipe, preset)
    summary = inspect.getdoc(recipe) or ""
    return tyro.cli(
        type(default),
        args=list(arguments),
        default=default,
        prog=f"holdfast run {recipe.__name__}",
        description=f"{summary.splitlines()[0]}\nPreset: {preset.provenance}.",
        config=(tyro.conf.FlagCreatePairsOff,),
    )
