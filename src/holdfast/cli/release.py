"""What is said before a model learns, and after it has learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from holdfast.cli.interrupt import command_line
from holdfast.cli.left_out import skipped
from holdfast.cli.terminal import shown
from holdfast.core.text import printable
from holdfast.release.checks import Finding
from holdfast.report.progress import rough
from holdfast.report.wilson import wilson
from holdfast.store.manifest import Manifest
from holdfast.store.update import Update
from holdfast.stream.folder import LabelledImages

SOME = 20  # names that are listed
EXAMPLES = 3  # images that a finding names


def opening(update: Update, data: LabelledImages, console: Console) -> None:
    """What will be learned, what was left out, and what it will take."""
    counts = data.counts()
    classes = ", ".join(f"{name} {count:,}" for name, count in list(counts.items())[:20])
    more = f" and {len(counts) - 20} more" if len(counts) > 20 else ""
    base = f"extends version {update.base.version}" if update.base else "a new model"
    shape = update.core.learner.shape
    inputs = f"vectors of {shape[0]} numbers"
    if len(shape) > 1:
        inputs = f"images {'x'.join(map(str, shape[1:]))}"
    console.print(
        f"{escape(printable(update.folder.path))}: {base}, recipe {update.core.method.name}, protocol "
        f"{update.core.protocol}, {inputs}",
        soft_wrap=True,
    )
    console.print(
        f"{sum(counts.values()):,} images of {len(counts)} classes: {escape(printable(classes))}{more}",
        soft_wrap=True,
    )
    for note in data.notes:
        console.print(shown(note), soft_wrap=True)
    if data.skipped:
        console.print(skipped(data.skipped), soft_wrap=True)
    if update.learned:
        console.print("learned already, before it was stopped: nothing is learned again")
        return
    if update.resumed:
        console.print(f"resumed after epoch {update.resumed}")
    if not update.core.method.trains(update.start):
        return
    seconds, memory = update.estimate()
    console.print(f"about {rough(seconds)} and {memory / 2**20:,.0f} MiB of memory")


def doubts(findings: Sequence[Finding]) -> Text:
    """What the checks of the data say, each with the first images that it is about."""
    text = Text()
    for finding in findings:
        text.append(f"{finding.severity}: " if finding.severity != "note" else "")
        text.append(printable(finding.text) + "\n", None if finding.severity == "note" else "bold")
        for name in finding.files[:EXAMPLES]:
            text.append(f"  {printable(name)}\n")
        if len(finding.files) > EXAMPLES:
            text.append(f"  and {len(finding.files) - EXAMPLES:,} more\n")
    return text


def release(manifest: Manifest, path: Path, page: Path | None = None) -> RenderableType:
    """The report of a version that was just published."""
    stored, images = manifest.stored, manifest.stored["images"]
    per_class = stored["floats"] / max(len(manifest.classes), 1)
    back = f"; back: {command_line('rollback', path)}" if manifest.parent else ""
    return Group(
        lines(manifest.update),
        Text(
            f"stored about the data: {images:,} image{'s' * (images != 1)}, {stored['floats']:,} numbers "
            f"({per_class:,.0f} a class, {stored['bytes'] / 1024:,.0f} KiB)"
        ),
        shown(
            f"version {manifest.version} of {path} is in use, {len(manifest.classes)} classes{back}"
        ),
        *([] if page is None else [shown(f"what it changed: {page}")]),
    )


def lines(notes: Mapping[str, Any]) -> RenderableType:
    """What an update did, whether it was published or not."""
    parts: list[RenderableType] = [
        shown(f"learned in {rough(notes['seconds'])}: {_names(notes['new_classes'])}")
    ]
    if notes["merged_classes"]:
        parts.append(shown(f"learned further: {_names(notes['merged_classes'])}"))
    if notes["drift_residual"] is not None:
        parts.append(
            Text(
                f"drift: the features moved, and {100 * notes['drift_residual']:.0f} % of the movement is "
                "not explained by the map that the old statistics followed"
            )
        )
    if notes.get("drift_forecast") is not None:
        share = f"{100 * notes['drift_forecast']:.0f} %"
        parts.append(Text(f"of the movement of new classes, a map of the others leaves {share}"))
    if notes.get("rule"):
        parts.append(shown(f"decided by {notes['rule']}"))
    if notes.get("few"):
        parts.append(
            Text(
                f"{notes['few']} distinct images are too few to train on: the network stays as it is, and "
                "statistics alone learn them"
            )
        )
    if "golden" in notes:
        parts.append(golden(notes["golden"]))
        parts += [Text(line) for line in belief(notes["golden"])]
    if notes["calibrated"]:
        parts.append(Text("probabilities have a temperature that was fitted on the new images"))
    return Group(*parts)


def golden(accuracies: Mapping[str, Any]) -> RenderableType:
    """Accuracy by class on the golden images, before and after."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(accuracies.get("from", "golden images"))
    for name in ("images", "before", "after", "change"):
        table.add_column(name, justify="right")
    old, new = accuracies["before"], accuracies["after"]
    for name in new:
        table.add_row(shown(name), str(new[name][1]), *_change(old.get(name), new[name]))
    if old:
        kept = {name: new[name] for name in old}
        table.add_row(
            "old classes", str(_sum(kept)[1]), *_change(_sum(old), _sum(kept)), style="bold"
        )
    if new:
        table.add_row("all", str(_sum(new)[1]), *_change(None, _sum(new)), style="bold")
    others = accuracies["not_in_the_model"]
    return Group(table, shown(f"not in the model: {_names(others)}", "dim")) if others else table


def belief(figures: Mapping[str, Any]) -> list[str]:
    """How far the answers can be believed, as it was measured, and what was not."""
    out = []
    error, floor = figures.get("calibration_error"), figures.get("calibration_floor")
    if error is not None and floor is not None:
        out.append(
            f"calibration error {100 * error:.1f} points ({100 * floor:.1f} would be chance on as "
            "many images)"
        )
    if figures.get("false_alarms"):
        called, total = figures["false_alarms"]
        low, high = wilson(called, total)
        out.append(
            f"{called} of {total} known images are called unknown, {100 * called / total:.1f} % "
            f"({100 * low:.1f} to {100 * high:.1f}); 5 % is what the threshold is set for"
        )
    if figures.get("earlier"):
        out.append(
            f"{len(figures['earlier'])} old classes were not measured: give --golden with images of them"
        )
    return out


def _sum(counts: Mapping[str, Sequence[int]]) -> tuple[int, int]:
    """Right ones, of how many, over all classes."""
    right, total = zip(*counts.values())
    return sum(right), sum(total)


def _change(old: Sequence[int] | None, new: Sequence[int] | None) -> tuple[str, str, str]:
    a, b = (None if c is None or not c[1] else 100 * c[0] / c[1] for c in (old, new))
    texts = tuple("" if value is None else f"{value:.1f}" for value in (a, b))
    return (*texts, "" if a is None or b is None else f"{b - a:+.1f}")  # type: ignore[return-value]


def _names(names: Sequence[str]) -> str:
    return ", ".join(names[:SOME]) + (f" and {len(names) - SOME} more" if len(names) > SOME else "")
