"""What the commands on a model's classes and versions can be asked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from holdfast.cli.options import File, Positional, Text


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
        json: a JSON object instead of a table.
    """

    model: Positional[Path]
    json: bool = False


@dataclass(frozen=True)
class Rollback:
    """Put an earlier version of a model in use; nothing is deleted.

    Args:
        model: folder of the model.
        version: which; by default the one that the current version was learned from.
        json: a JSON object instead of a sentence.
    """

    model: Positional[Path]
    version: Positional[int] = 0
    json: bool = False


@dataclass(frozen=True)
class Remove:
    """Make a new version that never learned a class; refused where weights remember it.

    Args:
        model: folder of the model.
        name: of the class.
        data: the images or features that the class was learned from: needed where the model keeps one
            scatter for all classes. Labelled data as for learn, or a folder of that class alone.
        readout_only: remove it from the readout although weights were trained on it.
        purge: delete the earlier versions that have the class, which hold it until then.
        json: the certificate as a JSON object.
        device: auto, cpu, cuda or mps.
    """

    model: Positional[Path]
    name: Positional[str]
    data: File = None
    readout_only: bool = False
    purge: bool = False
    json: bool = False
    device: str = "auto"


@dataclass(frozen=True)
class Rename:
    """Make a new version in which a class has another name, or is part of another class.

    Args:
        model: folder of the model.
        old: name of the class.
        new: its name from now on.
        join: the new name is a class already, and the two become one.
        json: a JSON object instead of a sentence.
    """

    model: Positional[Path]
    old: Positional[str]
    new: Positional[str]
    join: bool = False
    json: bool = False


@dataclass(frozen=True)
class Merge:
    """Make one model of two that share a frozen backbone; classes of one name become one.

    Args:
        one: folder of a model.
        other: folder of another.
        out: folder of the model that is made.
        json: a JSON object instead of a sentence.
    """

    one: Positional[Path]
    other: Positional[Path]
    out: Path
    json: bool = False


@dataclass(frozen=True)
class Split:
    """Make a model of some classes of another, and perhaps one of the rest.

    Args:
        model: folder of the model; it stays as it is.
        classes: that the new model has.
        out: folder of the new model.
        rest: folder of a model of the other classes.
        json: a JSON object instead of a sentence.
    """

    model: Positional[Path]
    classes: Positional[tuple[str, ...]]
    out: Path
    rest: File = None
    json: bool = False


@dataclass(frozen=True)
class Diff:
    """Say what differs between two versions of a model, and on which images.

    Args:
        model: folder of the model.
        before: a version.
        after: another.
        data: labelled data, as for learn, on which both are asked.
        json: a JSON object instead of tables.
        device: auto, cpu, cuda or mps.
    """

    model: Positional[Path]
    before: Positional[int]
    after: Positional[int]
    data: File = None
    json: bool = False
    device: str = "auto"


@dataclass(frozen=True)
class Prune:
    """Delete old versions; the one in use and the one that rollback goes to always stay.

    Args:
        model: folder of the model.
        keep: how many of the newest versions stay.
        dry_run: say what would go, and delete nothing.
        json: a JSON object instead of a sentence.
    """

    model: Positional[Path]
    keep: int = 2
    dry_run: bool = False
    json: bool = False


@dataclass(frozen=True)
class Import:
    """Go on with a classifier that was trained elsewhere, without its data.

    Its backbone is frozen, and the statistics of its classes are taken from unlabelled images of what
    it sees in use, by its own sure answers.

    Args:
        model: folder of the model that is made.
        source: a folder that transformers saved, or a file of weights of torch.
        traffic: folder of unlabelled images that the classifier sees in use.
        backbone: of a file of weights, see holdfast backbones.
        labels: of a file of weights: a file with the names of its classes, a line each.
        head: of a file of weights, how the names of its last layer begin; found by shape.
        sure: probability above which an answer counts.
        least: images a class; with fewer the import is refused.
        readout: see holdfast readouts.
        json: a JSON object instead of sentences.
        device: auto, cpu, cuda or mps.
    """

    model: Positional[Path]
    source: Annotated[Path, tyro.conf.arg(name="from")]
    traffic: File = None
    backbone: Text = None
    labels: File = None
    head: str = ""
    sure: float = 0.9
    least: int = 3
    readout: str = "auto"
    json: bool = False
    device: str = "auto"


@dataclass(frozen=True)
class Export:
    """Write a model in a form that runs without holdfast: pixels in, scores of the classes out.

    ONNX also gives probabilities and how strange an input is; beside it, FILE.json says how to use it.
    FILE.md is its model card, for README.md on the Hugging Face hub.

    Args:
        model: folder of the model.
        to: onnx, or torch (a program of torch.export).
        out: the file; by default MODEL-VERSION.onnx or .pt2.
        version: of the model; 0 is the one in use.
        overwrite: replace the file.
        int8: let the backbone compute in 8 bits (ONNX); what decides stays in single precision.
        data: labelled images, as for learn, to measure the file on. With int8, every fifth of them
            sets the ranges of the 8 bits, and the rest compare it with the float32 file.
        false_alarms: share of images of known classes that may be called unknown.
        license: for the card, as the hub names it, such as apache-2.0; without it none is claimed.
        json: a JSON object instead of sentences.
    """

    model: Positional[Path]
    to: Literal["onnx", "torch"] = "onnx"
    out: File = None
    version: int = 0
    overwrite: bool = False
    int8: bool = False
    data: File = None
    false_alarms: float = 0.05
    license: Text = None
    json: bool = False
