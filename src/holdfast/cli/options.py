"""What each command can be asked: one flag a field, its meaning in the docstring."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from holdfast.core.settings import PresetName

Positional = tyro.conf.Positional
Text = Annotated[str | None, tyro.conf.arg(metavar="TEXT", help_behavior_hint="")]
Number = Annotated[int | None, tyro.conf.arg(metavar="INT", help_behavior_hint="")]
Points = Annotated[float | None, tyro.conf.arg(metavar="POINTS", help_behavior_hint="")]
File = Annotated[Path | None, tyro.conf.arg(metavar="PATH", help_behavior_hint="")]
Form = Annotated[
    Literal["table", "json", "csv", "parquet"] | None,
    tyro.conf.arg(metavar="{table,json,csv,parquet}", help_behavior_hint=""),
]
Kept = Annotated[
    Literal["strict", "auxiliary", "buffer"] | None,
    tyro.conf.arg(metavar="{strict,auxiliary,buffer}", help_behavior_hint=""),
]


@dataclass(frozen=True)
class RunOptions:
    """What is stored, how it is read, and where the results go.

    Args:
        preset: sizes and settings that belong together: quick (digits), desk (CIFAR-10 on two cores),
            paper (as published), a protocol such as cifar100-10x10, or auto. Any flag overrides it.
        protocol: strict stores no image of an old class; auxiliary stores images that train the
            readout only; buffer rehearses them. auto takes the recipe's own.
        images: how many images auxiliary or buffer may store.
        readout: see holdfast readouts; auto lets the protocol choose. Settings follow with colons:
            gaussian:embedding reads the embedding, gaussian:drift=ridge+blend sets parameters.
        also: further readouts to read the same network with, such as mean,gaussian:embedding.
        augment: random views, see holdfast views; auto chooses by the inputs.
        seed: of weights, batches and views.
        pixels: where decoded images are kept: in memory, on disk in a folder pixels beside the results,
            or auto: on disk if they take more than a quarter of the free memory.
        out: folder for the results; by default a fresh readable name under runs/.
        dry: learn nothing, and say what the run would need: steps, time, memory and disk.
        overwrite: replace the folder of an earlier run.
        resume: go on with a run that was stopped, from its last kept epoch; without --out, the newest.
        log: where figures go besides: tensorboard,mlflow:experiment=mine (see holdfast logs).
        json: result.json, and the folder, on standard output; all else goes to standard error.
        quiet: print nothing but errors.
        diagnose: look inside the network after each task, on watched test rows: diagnostics.json in the
            folder, and a table at the end. Changes no figure; what it costs is said before and after.
    """

    preset: PresetName = "auto"
    protocol: Literal["auto", "strict", "auxiliary", "buffer"] = "auto"
    images: int = 0
    readout: str = "auto"
    also: str = ""
    augment: str = "auto"
    seed: int = 0
    pixels: Literal["auto", "memory", "disk"] = "auto"
    out: Path | None = None
    dry: bool = False
    overwrite: bool = False
    resume: bool = False
    log: str = ""
    json: bool = False
    quiet: bool = False
    diagnose: bool = False


@dataclass(frozen=True)
class Learn:
    """Make a model from labelled images, or teach an existing one new classes.

    A class is a folder of images, named as the class; one that came before is learned further. The
    version in use stays in use until the new one is whole.

    Args:
        model: folder of the model; made if it is not there.
        data: folder that holds a folder of images for each class; or a CSV, TSV, JSON lines or parquet
            table, .npz or .npy features, a folder that datasets saved, hf:owner/name, or - for lines
            path,label on standard input. FILE:path=COLUMN:label=COLUMN names columns.
        labels: file of labels, one a line or .npy, in place of those in the data.
        recipe: how it learns (see holdfast recipes), perhaps with settings: fnc2:tau=0.5:gamma=2. A
            new model of photographs takes frozen with the backbone lite0, if holdfast[lite] is
            installed and nothing is said of training; else fnc2_strict. Fixed with the model, as are
            its parameters, protocol, images, readout, also, the network, size and seed.
        parameters: of the recipe, such as tau=0.5,gamma=2.
        preset: where settings come from that are not given: quick, desk, or auto by image size.
        epochs: passes over the images; 0 takes what the model was made with, or the preset's.
        first_epochs: the same for the first classes of a new model; 0 takes epochs if they are given.
        batch: images in a batch; 0 as for epochs.
        lr: peak learning rate; 0 as for epochs.
        past: model whose classes a new one, of another network, takes over; with the recipe ofa, or lwf.
        protocol: what of the data may be stored; by default the recipe's own, no image if it can.
        images: how many, with auxiliary or buffer.
        readout: how classes are decided, as for holdfast run; auto by default.
        also: a further readout that the model can be asked with.
        backbone: see holdfast backbones; or a vision model of transformers: a folder or owner/name.
        width: of the backbone; 0 is its own default.
        tune_layers: last layers of a pretrained backbone that are trained; 0 freezes it.
        link_backbone: store the name and the hash of a frozen pretrained backbone in place of its weights.
        size: side to which images are scaled; 0 keeps that of square images of one size, else 64.
        per_class: images used of each class; 0 is all.
        strict_data: refuse data in which a file cannot be read, instead of leaving it out.
        golden: folder of images, in class folders, on which old and new version are compared. Without
            it some of the new images are kept aside and measured on.
        max_drop: points of accuracy that the golden images of old classes may lose; if they lose
            more, the new version is not published (exit code 3). By default 5, if beyond chance.
        max_class_drop: the same for one class; by default 20.
        yes: learn and publish whatever the checks of the data and the limits say.
        pictures: small pictures, of errors and the strangest, on an update's page; 0 keeps none.
        cache: folder where features of a frozen backbone are kept; by default until the update is done.
        engine: what reads the images: here, this process; or ray, the processes of a Ray cluster, for a
            frozen backbone: they send back statistics, which add exactly, and some images of each class.
        workers: of the cluster; 0 takes as many as it has cores.
        address: of the cluster, HOST:PORT; without it that of this machine, or one started for this.
        seed: of weights, batches and views; 0 by default.
        device: auto, cpu, cuda or mps.
        resume: go on with an update that was stopped.
        anew: drop an update that was stopped.
        json: a JSON object on standard output; all else goes to standard error.
        quiet: print nothing but errors.
    """

    model: Positional[Path]
    data: Path
    labels: File = None
    recipe: Text = None
    parameters: Text = None
    preset: Literal["auto", "quick", "desk"] = "auto"
    epochs: int = 0
    first_epochs: int = 0
    batch: int = 0
    lr: float = 0.0
    past: File = None
    protocol: Kept = None
    images: Number = None
    readout: Text = None
    also: Text = None
    backbone: Text = None
    width: Number = None
    tune_layers: Number = None
    link_backbone: bool = False
    size: int = 0
    per_class: int = 0
    strict_data: bool = False
    golden: File = None
    max_drop: Points = None
    max_class_drop: Points = None
    yes: bool = False
    pictures: int = 12
    cache: File = None
    engine: Literal["here", "ray"] = "here"
    workers: int = 0
    address: Text = None
    seed: Number = None
    device: str = "auto"
    resume: bool = False
    anew: bool = False
    json: bool = False
    quiet: bool = False
