"""What the commands that ask a model can be asked: one flag a field, its meaning in the docstring."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from holdfast.cli.options import File, Form, Points, Positional, Text


@dataclass(frozen=True)
class Predict:
    """Say the class of images, a line each as soon as it is known, in the order in which they come.

    Args:
        model: folder of the model.
        images: files, folders of files, tables that name or hold images, features (.npy, .npz, parquet),
            or - for paths on standard input, one a line or ended by NUL.
        version: of the model; 0 is the one in use.
        readout: which of the model's readouts decides; by default its own.
        false_alarms: share of images of known classes that may be called unknown.
        top: so many of the likeliest classes of each, with their probabilities.
        sets: a share such as 0.9: also the classes that hold the true one in so many of such images.
        format: table, json (an object a line), csv or parquet; by default what --out ends in.
        json: short for --format json.
        out: file that is written; by default standard output.
        overwrite: replace the file.
        device: auto, cpu, cuda or mps.
    """

    model: Positional[Path]
    images: Positional[tuple[Path, ...]]
    version: int = 0
    readout: Text = None
    false_alarms: float = 0.05
    top: int = 0
    sets: Points = None
    format: Form = None
    json: bool = False
    out: File = None
    overwrite: bool = False
    device: str = "auto"


@dataclass(frozen=True)
class Evaluate:
    """Measure a model on labelled images.

    Args:
        model: folder of the model.
        data: folder that holds a folder of images for each class, or another source, as for learn; its
            test part where it has one.
        labels: file of labels, one a line or .npy, in place of those in the data.
        version: of the model; 0 is the one in use.
        readout: which of the model's readouts decides; by default its own.
        engine: what reads the images: here, this process; or ray, the processes of a Ray cluster.
        workers: of the cluster; 0 takes as many as it has cores.
        address: of the cluster, HOST:PORT; without it that of this machine, or one started for this.
        json: a JSON object instead of a table.
        device: auto, cpu, cuda or mps.
    """

    model: Positional[Path]
    data: Path
    labels: File = None
    version: int = 0
    readout: Text = None
    engine: Literal["here", "ray"] = "here"
    workers: int = 0
    address: Text = None
    json: bool = False
    device: str = "auto"
