"""What is said before a model learns, and after it has learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from holdfast.commands.stop import plain
from holdfast.report.progress import rough
from holdfast.store.manifest import Manifest
from holdfast.store.update import Update
from holdfast.stream.gather import Gathered

SHOWN = 10  # skipped files that are listed


def opening(update: Update, data: Gathered, console: Console) -> None:
    """What will be learned, what was left out, and what it will take."""
    counts = {name: data.labels.count(name) for name in sorted(set(data.labels))}
    told = ", ".join(f"{name} {count:,}" for name, count in list(counts.items())[:20])
    more = f" and {len(counts) - 20} more" if len(counts) > 20 else ""
    base = f"extends version {update.base.version}" if update.base else "a new model"
    size = "x".join(map(str, update.core.learner.shape[1:]))
    console.print(
        f"{plain(str(update.folder.path))}: {base}, recipe {update.core.method.name}, protocol "
        f"{update.core.protocol}, images {size}",
        soft_wrap=True,
    )
    console.print(
        f"{len(data.labels):,} images of {len(counts)} classes: {plain(told)}{more}", soft_wrap=True
    )
    if data.skipped:
        console.print(skipped(data.skipped), soft_wrap=True)
    if update.learned:
        console.print("learned already, before it was stopped: nothing is learned again")
        return
    if update.resumed:
        console.print(f"resumed after epoch {update.resumed}")
    seconds, memory = update.estimate()
    console.print(f"about {rough(seconds)} and {memory / 2**20:,.0f} MiB of memory")


def skipped(files: Sequence[Sequence[str]]) -> str:
    """How many files were left out, and which."""
    listed = "".join(f"\n  {plain(name)}: {plain(why)}" for name, why in files[:SHOWN])
    more = f"\n  and {len(files) - SHOWN} more" if len(files) > SHOWN else ""
    return f"{len(files)} file{'s' * (len(files) != 1)} skipped:{listed}{more}"


def release(manifest: Manifest, path: Path) -> RenderableType:
    """The report of a version that was just published."""
    held, images = manifest.stored, manifest.stored["images"]
    per_class = held["floats"] / max(len(manifest.classes), 1)
    back = f"; back: holdfast rollback {path}" if manifest.parent else ""
    return Group(
        lines(manifest.update),
        Text(
            f"stored about the data: {images:,} image{'s' * (images != 1)}, {held['floats']:,} numbers "
            f"({per_class:,.0f} a class, {held['bytes'] / 1024:,.0f} KiB)"
        ),
        Text(
            f"version {manifest.version} of {path} is in use, {len(manifest.classes)} classes{back}"
        ),
    )


def lines(notes: Mapping[str, Any]) -> RenderableType:
    """What an update did, whether it was published or not."""
    parts: list[RenderableType] = [
        Text(f"learned in {rough(notes['seconds'])}: {_names(notes['new_classes'])}")
    ]
    if notes["merged_classes"]:
        parts.append(Text(f"learned further: {_names(notes['merged_classes'])}"))
    if notes["drift_residual"] is not None:
        parts.append(
            Text(
                f"drift: the features moved, and {100 * notes['drift_residual']:.0f} % of the movement is "
                "not explained by the map that the old statistics followed"
            )
        )
    if "golden" in notes:
        parts.append(golden(notes["golden"]))
    if notes["calibrated"]:
        parts.append(Text("probabilities are calibrated on the new images"))
    return Group(*parts)


def golden(found: Mapping[str, Any]) -> RenderableType:
    """Accuracy by class on the golden images, before and after."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("golden images")
    for name in ("images", "before", "after", "change"):
        table.add_column(name, justify="right")
    old, new = found["before"], found["after"]
    for name in new:
        table.add_row(Text(name), str(new[name][1]), *_change(old.get(name), new[name]))
    if old:
        kept = {name: new[name] for name in old}
        table.add_row(
            "old classes", str(_sum(kept)[1]), *_change(_sum(old), _sum(kept)), style="bold"
        )
    if new:
        table.add_row("all", str(_sum(new)[1]), *_change(None, _sum(new)), style="bold")
    for name in found["not_in_the_model"]:
        table.add_row(Text(f"{name} (not in the model)"), style="dim")
    return table


def _sum(counts: Mapping[str, Sequence[int]]) -> tuple[int, int]:
    """Right ones, of how many, over all classes."""
    right, total = zip(*counts.values())
    return sum(right), sum(total)


def _change(old: Sequence[int] | None, new: Sequence[int] | None) -> tuple[str, str, str]:
    a, b = (None if c is None or not c[1] else 100 * c[0] / c[1] for c in (old, new))
    told = tuple("" if value is None else f"{value:.1f}" for value in (a, b))
    return (*told, "" if a is None or b is None else f"{b - a:+.1f}")  # type: ignore[return-value]


def _names(names: Sequence[str]) -> str:
    return ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
