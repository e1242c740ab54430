"""Commands that read a stored model: predict, evaluate, inspect, history; and rollback."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from holdfast.commands.options import Evaluate, History, Inspect, Predict, Rollback, parse
from holdfast.commands.release import skipped
from holdfast.errors import DataError, StoreError
from holdfast.store.model import ModelFolder
from holdfast.store.predictor import Predictor, share
from holdfast.stream.files import IMAGES
from holdfast.stream.gather import Skipped, gather, visible

AT_A_TIME = 1024  # images in memory


def _predictor(options: Predict | Evaluate) -> tuple[Predictor, int]:
    core, manifest = ModelFolder(options.model).load(options.version or None, options.device)
    return Predictor(core, options.readout), manifest.version


def predict(arguments: list[str], console: Console) -> int:
    """A line an image; 2 if an image could not be read."""
    options = parse(Predict, arguments)
    predictor, version = _predictor(options)
    files = list(_files(options.images))
    rows, bad = [], []
    for start in range(0, len(files), AT_A_TIME):
        told, unread = _answers(predictor, files[start : start + AT_A_TIME], options.false_alarms)
        rows, bad = rows + told, bad + unread
    if options.json:
        for row in rows:
            print(json.dumps(row | {"version": version}, ensure_ascii=False))  # noqa: T201
        for name, why in bad:
            print(json.dumps({"image": name, "error": why}, ensure_ascii=False))  # noqa: T201
        return 2 if bad else 0
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name, side in (
        ("image", "left"),
        ("class", "left"),
        ("probability", "right"),
        ("", "left"),
    ):
        table.add_column(name, justify=side, overflow="fold")  # type: ignore[arg-type]
    for row in rows:
        note = "unknown" if row["unknown"] else ""
        table.add_row(Text(row["image"]), Text(row["class"]), f"{row['probability']:.3f}", note)
    console.print(table)
    if not predictor.calibrated:
        console.print(
            "probabilities are a softmax of the readout's scores, not calibrated", style="dim"
        )
    if bad:
        console.print(skipped(bad))
    return 2 if bad else 0


def _answers(
    predictor: Predictor, files: list[Path], false_alarms: float
) -> tuple[list[dict[str, Any]], Skipped]:
    """What a model says of the files that can be read, and the others."""
    x, good, bad = predictor.read(files)
    said = predictor(x, false_alarms)
    rows = [
        {
            "image": str(files[place]),
            "class": predictor.classes[int(said.label[i])],
            "probability": round(float(said.probability[i]), 6),
            "unknown": None if said.unknown is None else bool(said.unknown[i]),
        }
        for i, place in enumerate(good)
    ]
    return rows, bad


def evaluate(arguments: list[str], console: Console) -> int:
    """Accuracy by class, and over all images."""
    options = parse(Evaluate, arguments)
    predictor, version = _predictor(options)
    data = gather(options.data, predictor.size)
    counts = predictor.accuracies(data.x, data.labels)
    strange = [name for name in counts if name not in predictor.classes]
    if options.json:
        found = {
            "version": version,
            "accuracy": round(share(counts), 6),
            "classes": {name: {"right": r, "images": n} for name, (r, n) in counts.items()},
            "not_in_the_model": strange,
            "skipped": [list(entry) for entry in data.skipped],
        }
        print(json.dumps(found, indent=2, ensure_ascii=False))  # noqa: T201
        return 0
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("class", "images", "percent"):
        table.add_column(name, justify="left" if name == "class" else "right")
    for name, (right, total) in counts.items():
        note = "" if name not in strange else "  (not in the model)"
        table.add_row(Text(name + note), str(total), f"{100 * right / total:.1f}")
    table.add_row("all", str(len(data.labels)), f"{100 * share(counts):.1f}", style="bold")
    console.print(table)
    if data.skipped:
        console.print(skipped(data.skipped))
    return 0


def inspect(arguments: list[str], console: Console) -> int:
    """Everything a manifest says, after every file of the version was checked."""
    options = parse(Inspect, arguments)
    folder = ModelFolder(options.model)
    core, manifest = folder.load(options.version or None, "cpu")
    if options.json:
        print(manifest.to_text(), end="")  # noqa: T201
        return 0
    held, blueprint = manifest.stored, manifest.blueprint
    size = sum(file["bytes"] for file in manifest.files.values())
    weights = sum(p.numel() for p in core.learner.parameters())
    current = folder.index().current
    rows = {
        "version": f"{manifest.version}{' (in use)' if manifest.version == current else ''}, "
        f"from {manifest.parent or 'nothing'}, {manifest.created}",
        "recipe": f"{blueprint['recipe']} {_pairs(blueprint['parameters'])}".strip(),
        "protocol": f"{core.protocol}, readout {', '.join(core.readouts)}",
        "input": f"{'x'.join(map(str, manifest.input['shape']))}, normalised by mean "
        f"{_short(manifest.input['mean'])}, deviation {_short(manifest.input['std'])}",
        "network": f"{weights:,} weights; past network {held['past_network_floats']:,} numbers",
        "stored of the data": f"{held['images']} images, {held['floats']:,} numbers "
        f"({held['bytes'] / 1024:,.0f} KiB)",
        "size": f"{size / 1024:,.0f} KiB; every file is as it was written",
    }
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for name, value in rows.items():
        table.add_row(name, Text(value))
    by_version: dict[int, list[str]] = {}
    for entry in manifest.classes:
        by_version.setdefault(entry["version"], []).append(str(entry["name"]))
    for version, names in by_version.items():
        table.add_row(f"classes of version {version}", Text(f"{len(names)}: {', '.join(names)}"))
    console.print(table)
    return 0


def history(arguments: list[str], console: Console) -> int:
    """A line an event."""
    folder = ModelFolder(parse(History, arguments).model)
    index = folder.index()
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("when", "version", "what"):
        table.add_column(name, overflow="fold")
    for event in index.events:
        table.add_row(event["at"], str(event["version"]), Text(_told(folder, event)))
    console.print(table)
    console.print(f"version {index.current} is in use")
    return 0


def rollback(arguments: list[str], console: Console) -> int:
    """Switch the pointer; the version is checked before."""
    options = parse(Rollback, arguments)
    manifest = ModelFolder(options.model).rollback(options.version or None)
    console.print(
        f"version {manifest.version} of {options.model} is in use: {len(manifest.classes)} classes; "
        "no version was deleted",
        markup=False,
        soft_wrap=True,
    )
    return 0


def _told(folder: ModelFolder, event: dict[str, Any]) -> str:
    if event["did"] != "learned":
        return event["did"]
    try:
        notes = folder.manifest(event["version"]).update
    except StoreError as error:
        return f"learned; {error}"
    images = sum(notes.get("images", {}).values())
    told = f"learned {', '.join(notes.get('new_classes', [])) or 'no new class'}"
    if notes.get("merged_classes"):
        told += f"; further {', '.join(notes['merged_classes'])}"
    lost = (notes.get("golden") or {}).get("lost")
    return f"{told}; {images:,} images" + ("" if lost is None else f"; golden {-lost:+.1f} points")


def _files(given: tuple[Path, ...]) -> Iterator[Path]:
    """Files as named, and the images below folders."""
    if not given:
        raise DataError("no image was given: name files or folders.")
    for path in given:
        if path.is_dir():
            yield from (file for file in visible(path) if file.suffix.lower() in IMAGES)
        else:
            yield path


def _pairs(values: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in values.items())


def _short(values: list[float]) -> str:
    return ", ".join(f"{value:.3f}" for value in values[:3])
