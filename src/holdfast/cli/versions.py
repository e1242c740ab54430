"""``holdfast inspect``, ``history`` and ``rollback``: what a model folder holds."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from holdfast.cli.class_options import History, Inspect, Rollback
from holdfast.cli.operate import say
from holdfast.cli.reading import read
from holdfast.cli.terminal import shown
from holdfast.core.errors import StoreError
from holdfast.core.text import json_escaped
from holdfast.store.model import ModelFolder


def inspect_command(arguments: list[str], console: Console) -> int:
    """Everything a manifest says, after every file of the version was checked."""
    options = read(Inspect, arguments, "holdfast inspect")
    folder = ModelFolder(options.model)
    core, manifest = folder.load(options.version or None, "cpu")
    if options.json:
        print(json_escaped(manifest.to_text()), end="")  # noqa: T201
        return 0
    stored, blueprint = manifest.stored, manifest.blueprint
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
        "network": f"{weights:,} weights; past network {stored['past_network_floats']:,} numbers",
        "stored of the data": f"{stored['images']} images, {stored['floats']:,} numbers "
        f"({stored['bytes'] / 1024:,.0f} KiB)",
        "size": f"{size / 1024:,.0f} KiB; every file is as it was written",
    }
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for name, value in rows.items():
        table.add_row(name, shown(value))
    by_version: dict[int, list[str]] = {}
    for entry in manifest.classes:
        by_version.setdefault(entry["version"], []).append(str(entry["name"]))
    for version, names in by_version.items():
        table.add_row(f"classes of version {version}", shown(f"{len(names)}: {', '.join(names)}"))
    console.print(table)
    return 0


def history_command(arguments: list[str], console: Console) -> int:
    """A line an event."""
    options = read(History, arguments, "holdfast history")
    folder = ModelFolder(options.model)
    index = folder.index()
    if options.json:
        events = [event | {"summary": _summary(folder, event)} for event in index.events]
        say({"current": index.current, "events": events}, [], True, console)
        return 0
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("when", "version", "what"):
        table.add_column(name, overflow="fold")
    for event in index.events:
        table.add_row(shown(event["at"]), shown(event["version"]), shown(_summary(folder, event)))
    console.print(table)
    console.print(f"version {index.current} is in use")
    return 0


def rollback_command(arguments: list[str], console: Console) -> int:
    """Switch the pointer; the version is checked before."""
    options = read(Rollback, arguments, "holdfast rollback")
    manifest = ModelFolder(options.model).rollback(options.version or None)
    data = {"version": manifest.version, "classes": len(manifest.classes)}
    line = (
        f"version {manifest.version} of {options.model} is in use: {data['classes']} classes; no version "
        "was deleted"
    )
    say(data, [line], options.json, console)
    return 0


def _summary(folder: ModelFolder, event: dict[str, Any]) -> str:
    if event["did"] != "learned":
        return event["did"]
    if str(event["version"]) not in folder.index().manifests:
        return "learned; deleted since"
    try:
        notes = folder.manifest(event["version"]).update
    except StoreError as error:
        return f"learned; {error}"
    images = sum(notes.get("images", {}).values())
    text = f"learned {', '.join(notes.get('new_classes', [])) or 'no new class'}"
    if notes.get("merged_classes"):
        text += f"; further {', '.join(notes['merged_classes'])}"
    lost = (notes.get("golden") or {}).get("lost")
    return f"{text}; {images:,} images" + ("" if lost is None else f"; golden {-lost:+.1f} points")


def _pairs(values: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in values.items())


def _short(values: list[float]) -> str:
    return ", ".join(f"{value:.3f}" for value in values[:3])
