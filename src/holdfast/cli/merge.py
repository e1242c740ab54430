"""``holdfast merge`` and ``holdfast split``: models brought together and taken apart by their classes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from holdfast.cli.class_options import Merge, Split
from holdfast.cli.operate import anew, say
from holdfast.cli.reading import read
from holdfast.core.errors import ConfigError
from holdfast.store.alike import require_alike
from holdfast.store.manifest import Manifest
from holdfast.store.model import ModelFolder
from holdfast.store.surgery import join_learner, keep_classes, place_of
from holdfast.train.blueprint import Blueprint


def merge_command(arguments: list[str], console: Console) -> int:
    """Bring them together in a new folder; neither of the two changes."""
    options = read(Merge, arguments, "holdfast merge")
    data = unite(options)
    mine, theirs = data.pop("of_each")
    shared = f"; in both: {', '.join(data['common_classes'])}" if data["common_classes"] else ""
    line = (
        f"{options.out}: {data['classes']} classes, {mine} of {options.one} and {theirs} of "
        f"{options.other}{shared}"
    )
    say(data, [line], options.json, console)
    return 0


def unite(options: Merge) -> dict[str, Any]:
    """Make the model of both; what was done, as its version notes it.

    Args:
        options: of the command.

    Raises:
        ConfigError: for models that cannot be merged, or a folder that is a model already.
    """
    loaded = [ModelFolder(path).load(device="cpu") for path in (options.one, options.other)]
    (core, mine), (other, theirs) = loaded
    of_each = len(mine.classes), len(theirs.classes)
    blueprints = [Blueprint.from_data(manifest.blueprint) for _, manifest in loaded]
    names = (str(options.one), str(options.other))
    require_alike((core, blueprints[0]), (other, blueprints[1]), names)
    with anew(options.out) as folder:
        common = join_learner(core, other)
        sources = [_source(m, path) for (_, m), path in zip(loaded, (options.one, options.other))]
        notes = {"merged": sources, "common_classes": common}
        manifest = folder.publish(core, blueprints[0], notes, f"merged {names[0]} and {names[1]}")
    counts = {"version": manifest.version, "classes": len(manifest.classes)}
    return notes | counts | {"of_each": of_each}


def split_command(arguments: list[str], console: Console) -> int:
    """Make a model of some classes, and one of the rest if asked; the model itself stays."""
    options = read(Split, arguments, "holdfast split")
    whole = ModelFolder(options.model)
    core, manifest = whole.load(device="cpu")
    chosen = {place_of(core, name) for name in options.classes}
    parts = [(options.out, [str(core.labels[k]) for k in sorted(chosen)])]
    others = [str(label) for k, label in enumerate(core.labels) if k not in chosen]
    if options.rest is not None:
        parts.append((options.rest, others))
    if not all(names for _, names in parts):
        raise ConfigError("each part of a split has at least one class: name some, and not all.")
    if options.rest is not None and options.rest.resolve() == options.out.resolve():
        raise ConfigError("--out and --rest are one folder: name two.")
    written = [_write(whole, manifest, path, names) for path, names in parts]
    data = {"parts": {str(path): names for path, names in parts}}
    lines = [
        f"{path}: {count} classes of {options.model}" for (path, _), count in zip(parts, written)
    ]
    say(data, lines, options.json, console)
    return 0


def _write(whole: ModelFolder, base: Manifest, path: Path, names: Sequence[str]) -> int:
    """A model of some classes in a folder; how many."""
    core, _ = whole.load(base.version, "cpu")
    keep_classes(core, names)
    with anew(path) as folder:
        notes = {"split": _source(base, whole.path)}
        did = f"split from {whole.path}"
        return len(folder.publish(core, Blueprint.from_data(base.blueprint), notes, did).classes)


def _source(manifest: Manifest, path: Path) -> dict[str, str | int]:
    return {"folder": path.name, "model": manifest.model, "version": manifest.version}
