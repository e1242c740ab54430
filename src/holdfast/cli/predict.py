"""``holdfast predict`` and ``holdfast evaluate``: a stored model asked about images."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.table import Table

from holdfast.cli.asking_options import Evaluate, Predict
from holdfast.cli.destination import Destination
from holdfast.cli.engine import cluster_of
from holdfast.cli.inputs import Batch, batches
from holdfast.cli.left_out import skipped
from holdfast.cli.reading import read
from holdfast.cli.terminal import shown
from holdfast.core.text import json_text
from holdfast.serve.class_sets import nominal, sets_of
from holdfast.serve.counted import Counted, count_right
from holdfast.serve.predictor import Predictions, Predictor, require_fitting, share
from holdfast.store.model import ModelFolder
from holdfast.stream.image_files import is_lost
from holdfast.stream.labelled import list_labelled
from holdfast.stream.listed import Listed
from holdfast.train.blueprint import Blueprint


def _predictor(options: Predict | Evaluate) -> tuple[Predictor, int]:
    core, manifest = ModelFolder(options.model).load(options.version or None, options.device)
    levels = Blueprint.from_data(manifest.blueprint).levels
    return Predictor(core, options.readout, levels=levels), manifest.version


def predict_command(arguments: list[str], console: Console) -> int:
    """A row an image; 2 if an image, or a file that may be one, could not be read."""
    options = read(Predict, arguments, "holdfast predict")
    output = Destination(options, console)
    predictor, version = _predictor(options)
    asked, lost, skipped_files = batches(options.images), False, 0
    with output:
        for batch in asked:
            rows = answers(predictor, batch, options, version)
            rows += [{"image": name, "error": why} for name, why in batch.skipped]
            output.write(rows)
            errors = [(row["image"], row["error"]) for row in rows if "error" in row]
            skipped_files += len(errors)
            lost = lost or any(is_lost(name, why) for name, why in errors)
    if output.form == "table" and options.out is None:
        if not predictor.calibrated:
            text = "probabilities are a softmax of the readout's scores, not calibrated"
            console.print(text, style="dim", soft_wrap=True)
        if skipped_files:
            console.print(f"{skipped_files} file{'s' * (skipped_files != 1)} skipped")
    return 2 if lost else 0


def answers(
    predictor: Predictor, batch: Batch, options: Predict, version: int
) -> list[dict[str, Any]]:
    """What a model says of a few inputs: a row for each, in their order, or why there is none."""
    listed, names = batch.listed, batch.names
    if not names:
        return []
    require_fitting(listed, predictor.core.learner.shape, options.model)
    good, unread = list(range(len(names))), []
    x = listed.vectors
    if x is None:
        assert listed.pictures is not None
        x, good, unread = predictor.pixels(listed.pictures, listed.rows)
    answer = predictor(x, options.false_alarms)
    every = list(_rows(predictor, answer, options.top))
    if options.sets is not None:
        for row, inside in zip(every, sets_of(predictor, answer, options.sets)):
            row |= {"set": inside, "set_nominal": nominal(predictor)}
    rows = dict(zip(good, every))
    reasons = iter(unread)
    return [
        {"image": name}
        | (rows[i] | {"version": version} if i in rows else {"error": next(reasons)[1]})
        for i, name in enumerate(names)
    ]


def _rows(predictor: Predictor, answer: Predictions, top: int) -> Iterator[dict[str, Any]]:
    """Class, probability and unknown of each input that could be read; the likeliest if asked."""
    best = answer.probabilities.sort(dim=1, descending=True, stable=True) if top else None
    for i in range(len(answer.label)):
        row: dict[str, Any] = {
            "class": predictor.classes[int(answer.label[i])],
            "probability": round(float(answer.probability[i]), 6),
            "unknown": None if answer.unknown is None else bool(answer.unknown[i]),
        }
        if best is not None:
            pairs = zip(best.indices[i, :top].tolist(), best.values[i, :top].tolist())
            row["top"] = [
                {"class": predictor.classes[k], "probability": round(p, 6)} for k, p in pairs
            ]
        yield row


def _counted(predictor: Predictor, listed: Listed, options: Evaluate) -> Counted:
    """What the model gets right, counted here or by the processes of a cluster."""
    spread = cluster_of(options)
    if spread is None:
        return count_right(predictor, listed)
    from holdfast.spread.measuring import evaluate_spread

    return evaluate_spread(listed, predictor, spread)


def evaluate_command(arguments: list[str], console: Console) -> int:
    """Accuracy by class, and over all images."""
    options = read(Evaluate, arguments, "holdfast evaluate")
    predictor, version = _predictor(options)
    listed = list_labelled(options.data, part="test", labels=options.labels)
    data = _counted(predictor, listed, options)
    counts = data.counts
    strange = [name for name in counts if name not in predictor.classes]
    if options.json:
        report = {
            "version": version,
            "accuracy": round(share(counts), 6),
            "classes": {name: {"right": r, "images": n} for name, (r, n) in counts.items()},
            "not_in_the_model": strange,
            "skipped": [list(entry) for entry in data.skipped],
            "notes": data.notes,
        }
        print(json_text(report, indent=2))  # noqa: T201
        return 0
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("class", "images", "percent"):
        table.add_column(name, justify="left" if name == "class" else "right")
    for name, (right, total) in counts.items():
        note = "" if name not in strange else "  (not in the model)"
        table.add_row(shown(name + note), str(total), f"{100 * right / total:.1f}")
    table.add_row(
        "all", str(sum(n for _, n in counts.values())), f"{100 * share(counts):.1f}", style="bold"
    )
    console.print(table)
    for note in data.notes:
        console.print(shown(note), soft_wrap=True)
    if data.skipped:
        console.print(skipped(data.skipped), soft_wrap=True)
    return 0
