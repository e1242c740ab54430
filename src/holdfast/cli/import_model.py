"""``holdfast import``: go on with a classifier that was trained elsewhere, without its data."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor

from holdfast.cli.class_options import Import
from holdfast.cli.interrupt import command_line
from holdfast.cli.operate import anew, say
from holdfast.cli.reading import read
from holdfast.core.errors import ConfigError, DataError
from holdfast.core.numerics import to_float
from holdfast.core.settings import Network, Training
from holdfast.learner.classifier import Classifier, read_classifier, softmax, take_weights
from holdfast.statistics.sure import FLOOR, LEAST, confident
from holdfast.stream.folder import read_images
from holdfast.stream.image_files import is_image
from holdfast.stream.walk import readable, walk
from holdfast.train.blueprint import Blueprint
from holdfast.train.continual import Continual
from holdfast.train.setup import Setup

AT_A_TIME = 64  # images in memory


@dataclass(frozen=True)
class Answers:
    """What a classifier says of its traffic.

    Attributes:
        features: (N, f) of its backbone.
        p: (N, K) its own probabilities.
        unread: files that could not be read.
    """

    features: Tensor
    p: Tensor
    unread: int


def import_command(arguments: list[str], console: Console) -> int:
    """Read it, label its traffic by its own head, and publish what can be extended."""
    options = read(Import, arguments, "holdfast import")
    if options.traffic is None:
        raise ConfigError(
            "a head alone does not suffice to go on from: it says where its classes part, not how they "
            "lie, and with new classes beside them 54 to 67 % were right where 84 to 87 % are with "
            "images. Give unlabelled images of what it sees in use with --traffic FOLDER."
        )
    classifier = read_classifier(
        options.source, options.backbone or "", options.labels, options.head
    )
    with anew(options.model) as folder:
        core, blueprint = learner_of(classifier, options)
        answers = ask(core, classifier, images_in(options.traffic))
        used, counts = choose(classifier, answers, options)
        rows, labels = answers.features[used], answers.p[used].argmax(1).tolist()
        names = [classifier.labels[k] for k in labels]
        core.learn(core.arrive(rows, names))
        notes = _notes(options, classifier, answers, used, counts) | {
            "agreement": agreement(core, classifier, answers)
        }
        update = {"imported": notes, "images": counts, "new_classes": list(core.labels)}
        manifest = folder.publish(core, blueprint, update, f"imported {options.source.name}")
    say(notes | {"version": manifest.version}, _lines(notes, options.model), options.json, console)
    return 0


def learner_of(classifier: Classifier, options: Import) -> tuple[Continual, Blueprint]:
    """A learner of the recipe ``frozen`` with the classifier's backbone."""
    shape = (3, classifier.side, classifier.side)
    setup = Setup(Training(epochs=1), Network(backbone=classifier.backbone))
    decide = {} if options.readout == "auto" else {"decide": options.readout}
    blueprint = Blueprint("frozen", shape, decide, setup)
    core = blueprint.build(options.device)
    if classifier.weights is not None:
        take_weights(core.learner.backbone, classifier.weights)
    return core, blueprint


def images_in(path: Path) -> list[Path]:
    """Every image below a folder.

    Raises:
        DataError: if there is none.
    """
    if not path.is_dir():
        raise DataError(
            f"{readable(path)} is no folder: give one of images that the model sees in use."
        )
    files = [file for file in walk(path, repeats=False)[0] if is_image(file)]
    if not files:
        raise DataError(
            f"{readable(path)} holds no image: give a folder of images, without labels."
        )
    return files


@torch.no_grad()
def ask(core: Continual, classifier: Classifier, files: Sequence[Path]) -> Answers:
    """Features and own probabilities of images, a few in memory at a time."""
    features, p, unread = [], [], 0
    for x, skipped in _batches(core, files):
        unread += skipped
        if len(x):
            rows = core.out(x).features.cpu()
            features.append(rows)
            p.append(softmax(classifier.logits(to_float(x), rows)))
    if not features:
        raise DataError(f"none of the {len(files)} images of the traffic can be read.")
    return Answers(torch.cat(features), torch.cat(p), unread)


def _batches(core: Continual, files: Sequence[Path]) -> Iterator[tuple[Tensor, int]]:
    backbone, side = core.learner.backbone, core.learner.shape[1]
    for start in range(0, len(files), AT_A_TIME):
        piece = files[start : start + AT_A_TIME]
        images = read_images(piece, side, fit=backbone.fit, resize=backbone.resize)
        yield images.x[0], len(images.skipped)


def choose(
    classifier: Classifier, answers: Answers, options: Import
) -> tuple[Tensor, dict[str, int]]:
    """Which images count, and how many of each class.

    Raises:
        DataError: for a class of which too few do.
    """
    used = confident(answers.p, options.sure, max(options.least, LEAST))
    label = answers.p.argmax(1)[used]
    counts = torch.bincount(label, minlength=len(classifier.labels)).tolist()
    few = {n: c for n, c in zip(classifier.labels, counts) if c < options.least}
    if few:
        listed = ", ".join(f"{name} {count}" for name, count in list(few.items())[:10])
        raise DataError(
            f"the traffic shows too few images of {len(few)} classes to know how they lie ({listed}; "
            f"{options.least} are the least): bring more traffic, or lower --least."
        )
    return used, dict(zip(classifier.labels, counts))


def agreement(core: Continual, classifier: Classifier, answers: Answers) -> float:
    """Share of all images that the readout calls as the classifier did."""
    best = core.scores(answers.features).argmax(1).tolist()
    called = answers.p.argmax(1).tolist()
    same = sum(str(core.labels[a]) == classifier.labels[b] for a, b in zip(best, called))
    return same / len(called)


def _notes(
    options: Import, classifier: Classifier, answers: Answers, used: Tensor, counts: dict[str, int]
) -> dict[str, Any]:
    """What is worth keeping about an import."""
    seen = torch.bincount(answers.p.argmax(1), minlength=len(classifier.labels)).tolist()
    return {
        "from": options.source.name,
        "traffic": len(answers.p),
        "unread": answers.unread,
        "used": int(used.sum()),
        "expected_right": float(answers.p[used].amax(1).mean()),
        "sure": options.sure,
        "floor": FLOOR,
        "classes": {
            name: {"called": total, "used": counts[name]}
            for name, total in zip(classifier.labels, seen)
        },
    }


def _lines(notes: dict[str, Any], model: Path) -> list[str]:
    share = 100 * notes["used"] / notes["traffic"]
    lines = [
        f"{notes['used']:,} of {notes['traffic']:,} images of the traffic ({share:.0f} %) count, those of "
        f"which its own head is surest ({100 * notes['expected_right']:.0f} % sure on average)"
    ]
    lines += [
        f"  {name}: {c['used']:,} of {c['called']:,}"
        + ("  (few: its spread is guessed from the others)" if c["used"] < LEAST else "")
        for name, c in notes["classes"].items()
    ]
    percent = math.floor(1000 * notes["agreement"]) / 10
    lines.append(f"the readout calls {percent} % of the traffic as the head did")
    more = command_line("learn", model, "--data", "FOLDER")
    return [*lines, f"{model} can be extended: {more}"]
