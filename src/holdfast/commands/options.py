"""Flags of the commands that work on a stored model: one a field."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import tyro

Positional = tyro.conf.Positional
Text = Annotated[str | None, tyro.conf.arg(metavar="TEXT", help_behavior_hint="")]
Number = Annotated[int | None, tyro.conf.arg(metavar="INT", help_behavior_hint="")]
Points = Annotated[float | None, tyro.conf.arg(metavar="POINTS", help_behavior_hint="")]
File = Annotated[Path | None, tyro.conf.arg(metavar="PATH", help_behavior_hint="")]
Kept = Annotated[
    Literal["strict", "auxiliary", "buffer"] | None,
    tyro.conf.arg(metavar="{strict,auxiliary,buffer}", help_behavior_hint=""),
]


@dataclass(frozen=True)
class Learn:
    """Make a model from a folder of images, or teach an existing one new classes.

    A class is a folder of images, named as the class; one that came before is learned further. The
    version in use stays in use until the new one is whole.

    Args:
        model: folder of the model; made if it is not there.
        data: folder that holds a folder of images for each class.
        recipe: how it learns (see holdfast recipes); a new model takes fnc2_strict. Fixed with the
            model, as are parameters, protocol, images, readout, also, the network, size and seed.
        parameters: of the recipe, such as tau=0.5,gamma=2.
        preset: where settings come from that are not given: quick, desk, or auto by image size.
        epochs: passes over the images; 0 takes what the model was made with, or the preset's.
        first_epochs: the same for the first classes of a new model; 0 takes epochs if they are given.
        batch: images in a batch; 0 as for epochs.
        lr: peak learning rate; 0 as for epochs.
        protocol: what of the data may be stored; by default the recipe's own, strict if it can:
            no image at all.
        images: how many, with auxiliary or buffer.
        readout: how classes are decided, as for holdfast run; auto by default.
        also: a further readout that the model can be asked with.
        backbone: auto, resnet18 or convnet; or a pretrained vision model of transformers, as a
            folder or the hub's owner/name.
        width: of the backbone; 0 is its own default.
        tune_layers: last layers of a pretrained backbone that are trained; 0 freezes it.
        size: side to which images are scaled; 0 keeps that of square images of one size, else 64.
        per_class: images used of each class; 0 is all.
        golden: folder of images, in class folders, on which old and new version are compared.
        max_drop: points of accuracy that the golden images of old classes may lose; if they lose
            more, the new version is not published (exit code 3).
        seed: of weights, batches and views; 0 by default.
        device: auto, cpu, cuda or mps.
        resume: go on with an update that was stopped.
        anew: drop an update that was stopped.
        quiet: print nothing but errors.
    """

    model: Positional[Path]
    data: Path
    recipe: Text = None
    parameters: Text = None
    preset: Literal["auto", "quick", "desk"] = "auto"
    epochs: int = 0
    first_epochs: int = 0
    batch: int = 0
    lr: float = 0.0
    protocol: Kept = None
    images: Number = None
    readout: Text = None
    also: Text = None
    backbone: Text = None
    width: Number = None
    tune_layers: Number = None
    size: int = 0
    per_class: int = 0
    golden: File = None
    max_drop: Points = None
    seed: Number = None
    device: str = "auto"
    resume: bool = False
    anew: bool = False
    quiet: bool = False


@dataclass(frozen=True)
class Predict:
    """Say the class of images.

    Args:
        model: folder of the model.
        images: files, or folders of files.
        version: of the model; 0 is the one in use.
        readout: which of the model's readouts decides; by default its own.
        false_alarms: share of images of known classes that may be called unknown.
        json: one JSON object a line instead of a table.
        device: auto, cpu, cuda or mps.
    """

    model: Positional[Path]
    images: Positional[tuple[Path, ...]]
    version: int = 0
    readout: Text = None
    false_alarms: float = 0.05
    json: bool = False
    device: str = "auto"


@dataclass(frozen=True)
class Evaluate:
    """Measure a model on labelled images.

    Args:
        model: folder of the model.
        data: folder that holds a folder of images for each class.
        version: of the model; 0 is the one in use.
        readout: which of the model's readouts decides; by default its own.
        json: a JSON object instead of a table.
        device: auto, cpu, cuda or mps.
    """

    model: Positional[Path]
    data: Path
    version: int = 0
    readout: Text = None
    json: bool = False
    device: str = "auto"


@dataclass(frozen=True)
class Inspect:
    """Say what a model is: classes, what it stores about data, and whether its files are whole.

    Args:
        model: folder of the model.
        version: of the model; 0 is the one in use.
        json: the manifest itself.
    """

    model: Positional[Path]
    version: int = 0
    json: bool = False


@dataclass(frozen=True)
class History:
    """List a model's versions and what was done with them.

    Args:
        model: folder of the model.
    """

    model: Positional[Path]


@dataclass(frozen=True)
class Rollback:
    """Put an earlier version of a model in use; nothing is deleted.

    Args:
        model: folder of the model.
        version: which; by default the one that the current version was learned from.
    """

    model: Positional[Path]
    version: Positional[int] = 0


@dataclass(frozen=True)
class Export:
    """Write a model in a form that runs without holdfast: pixels in, logits of the classes out.

    Args:
        model: folder of the model.
        to: onnx, or torch (a program of torch.export).
        out: the file; by default MODEL-VERSION.onnx or .pt2.
        version: of the model; 0 is the one in use.
        overwrite: replace the file.
    """

    model: Positional[Path]
    to: Literal["onnx", "torch"]
    out: File = None
    version: int = 0
    overwrite: bool = False


T = TypeVar("T")


def parse(kind: type[T], arguments: Sequence[str]) -> T:
    """Read the flags of a command (tyro leaves with code 2 on a wrong one)."""
    name = kind.__name__.lower()
    return tyro.cli(
        kind,
        args=list(arguments),
        prog=f"holdfast {name}",
        config=(tyro.conf.FlagCreatePairsOff,),
    )
