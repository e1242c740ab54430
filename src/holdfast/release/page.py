"""The page of an update: what was measured of it, as `holdfast.report.release_page` shows it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from holdfast.core.errors import HoldfastError
from holdfast.release.measured import Measured
from holdfast.release.teaching import Teaching
from holdfast.report.release_data import (
    Calibration,
    ClassRow,
    Confusion,
    Picture,
    ReleaseData,
    Unknown,
)
from holdfast.report.release_page import page_of
from holdfast.report.small import thumbnail
from holdfast.store.atomic import atomic_write
from holdfast.store.manifest import Manifest
from holdfast.stream.folder import LabelledImages, read_images

LOG = logging.getLogger("holdfast.release")
NAME = "release.html"
SIDE = 112  # pixels of a picture
MATRIX = 60  # classes of which a matrix of errors is shown


def write_page(teaching: Teaching, manifest: Manifest) -> Path | None:
    """Write ``versions/NNNN/release.html`` beside a version; None, and a warning, where that fails.

    No part of the model reads it, and its small pictures are all that is kept of any image.

    Args:
        teaching: the update, published.
        manifest: of the version.
    """
    place = teaching.folder.path / "versions" / f"{manifest.version:04d}" / NAME
    try:
        text = page_of(release_data(teaching, manifest))
        atomic_write(place, lambda to: to.write_text(text, "utf-8"))
    except (OSError, HoldfastError) as error:
        LOG.warning("%s was not written: %s", place, error)
        return None
    return place


def release_data(teaching: Teaching, manifest: Manifest) -> ReleaseData:
    """What the page of an update shows."""
    update, after, judges = manifest.update, teaching.after, teaching.judges
    wrong: list[Picture] = []
    strangest: list[Picture] = []
    if after is not None and judges is not None:
        most = teaching.asked.pictures
        wrong = _pictures(judges, after, _surely_wrong(after)[:most], after.probabilities.amax(1))
        if after.strange is not None:
            order = after.strange.argsort(descending=True).tolist()[:most]
            strangest = _pictures(judges, after, order, after.strange)
    return ReleaseData(
        model=str(teaching.folder.path),
        version=manifest.version,
        parent=manifest.parent,
        created=manifest.created,
        classes=len(manifest.classes),
        facts=_facts(manifest),
        measured_on=teaching.measured_on,
        rows=_rows(update.get("golden", {})),
        confusion=None if after is None else _confusion(after),
        calibration=None if after is None else _calibration(after),
        unknown=None if after is None else _unknown(after),
        wrong=wrong,
        strangest=strangest,
        stored=_stored(manifest, len(wrong) + len(strangest)),
        notes=[f["text"] for f in update.get("findings", [])],
        skipped=[(name, why) for name, why in update["skipped"]],
    )


def _facts(manifest: Manifest) -> dict[str, str]:
    update: dict[str, Any] = manifest.update
    counts: dict[str, int] = update["images"]
    listed = ", ".join(f"{name} {n:,}" for name, n in list(counts.items())[:20])
    more = f" and {len(counts) - 20} more" if len(counts) > 20 else ""
    facts = {
        "learned": f"{sum(counts.values()):,} images of {len(counts)} classes: {listed}{more}",
        "new classes": f"{len(update['new_classes'])}",
        "recipe": str(manifest.blueprint["recipe"]),
        "input": "x".join(map(str, manifest.input["shape"])),
    }
    if update["rule"]:
        facts["decided by"] = update["rule"]
    if update["few"]:
        facts["network"] = "unchanged: the images are too few to train on"
    return facts


def _rows(golden: dict[str, Any]) -> list[ClassRow]:
    """Classes that were measured now, then those that only earlier versions were measured on."""
    before = golden.get("before", {})
    rows = []
    for name, (right, total) in golden.get("after", {}).items():
        old = before.get(name)
        rows.append(ClassRow(name, None if old is None else (old[0], old[1]), (right, total)))
    earlier = golden.get("earlier", {})
    return rows + [ClassRow(name, (entry[0], entry[1]), (0, 0)) for name, entry in earlier.items()]


def _confusion(after: Measured) -> Confusion | None:
    names = sorted(set(after.labels) & set(after.classes))
    if not 1 < len(names) <= MATRIX:
        return None
    place = {name: i for i, name in enumerate(names)}
    counts = np.zeros((len(names), len(names)), dtype=int)
    answers = [after.classes[k] for k in after.predicted.tolist()]
    for label, answer in zip(after.labels, answers):
        if label in place and answer in place:
            counts[place[label], place[answer]] += 1
    return Confusion(names, counts.tolist())


def _calibration(after: Measured) -> Calibration | None:
    figures = after.calibration()
    if figures is None:
        return None
    known = after.known.tolist()
    sure = [p for p, k in zip(after.probabilities.amax(1).tolist(), known) if k]
    return Calibration(sure, [r for r, k in zip(after.right, known) if k], *figures)


def _unknown(after: Measured) -> Unknown | None:
    if after.strange is None or after.threshold is None:
        return None
    known = after.known
    others = after.strange[~known].tolist()
    scores = after.strange[known].tolist()
    return Unknown(scores, after.threshold, after.false_alarms, others or None)


def _surely_wrong(after: Measured) -> list[int]:
    """Places of the errors, the surest first."""
    sure, known = after.probabilities.amax(1).tolist(), after.known.tolist()
    wrong = [i for i, right in enumerate(after.right) if known[i] and not right]
    return sorted(wrong, key=lambda i: -sure[i])


def _pictures(
    data: LabelledImages, after: Measured, places: Sequence[int], value: Tensor
) -> list[Picture]:
    """Those images of the places that can be shown."""
    shown = []
    for i in places:
        pixels = _pixels(data, i)
        if pixels is None:
            continue
        names = (str(data.files[i]) if data.files else "", data.labels[i])
        predicted = after.classes[int(after.predicted[i])]
        shown.append(Picture(thumbnail(pixels, SIDE), *names, predicted, float(value[i])))
    return shown


def _pixels(data: LabelledImages, i: int) -> np.ndarray | None:
    """(3, H, W) of an image; None where there is none to show."""
    if data.x.ndim == 4:
        rows = data.x[i].cpu().numpy()
        return rows if rows.shape[0] == 3 else np.repeat(rows[:1], 3, 0)
    if not data.files or not Path(data.files[i]).is_file():
        return None
    read = read_images([Path(data.files[i])], SIDE, levels=data.levels, fit="pad")
    return read.x[0][0].numpy() if len(read.x[0]) else None


def _stored(manifest: Manifest, pictures: int) -> dict[str, str]:
    stored = manifest.stored
    return {
        "images": f"{stored['images']:,}",
        "numbers": f"{stored['floats']:,} ({stored['bytes'] / 1024:,.0f} KiB)",
        "pictures on this page": f"{pictures:,}; the model reads none of them",
    }
