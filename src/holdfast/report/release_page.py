"""The page that an update leaves: what it changed, how far its answers can be believed, how to go back."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator, Sequence
from importlib import resources
from string import Template

from holdfast.report.markup import change, interval, more, pairs, percent, ratio, safe, table
from holdfast.report.release_data import ClassRow, Count, ReleaseData
from holdfast.report.release_parts import above, belief, confusions, gallery
from holdfast.report.svg import bar

ROWS = 60  # classes that a table shows before the rest is folded away
FILES = 200  # skipped files that are listed


def page_of(data: ReleaseData) -> str:
    """A self-contained page of HTML: no script, nothing fetched, every name escaped.

    Args:
        data: what was measured; what was not is left out.
    """
    version = f"Version {data.version} of {data.model}"
    text = resources.files("holdfast.report").joinpath("release.html").read_text("utf-8")
    parts = [p for section in _sections(data) for p in section]
    return Template(text).substitute(title=safe(version), content="\n".join(parts))


def back_command(data: ReleaseData) -> str:
    """The command that puts the version before back in use, as a shell takes it."""
    return shlex.join(["holdfast", "rollback", data.model, str(data.parent)])


def _sections(data: ReleaseData) -> Iterator[list[str]]:
    yield _opening(data)
    if data.rows:
        yield _by_class(data.rows, data.measured_on)
    if data.calibration or data.unknown:
        yield belief(data.calibration, data.unknown)
    if data.confusion:
        yield confusions(data.confusion)
    yield gallery(
        "Surely wrong", "The model was most sure of these, and their folder says otherwise: errors of "
        "the model, or labels to look at.", data.wrong, "sure",
    )  # fmt: skip
    yield gallery(
        "Strangest", "These look least like any class the model knows.", data.strangest, "score"
    )  # fmt: skip
    yield _kept(data)


def _opening(data: ReleaseData) -> list[str]:
    parent = f"learned from version {data.parent}" if data.parent else "a new model"
    parts = [
        f"<header><h1>Version {data.version} of <code>{safe(data.model)}</code></h1>",
        f"<p>{safe(data.created)}, {parent}, {data.classes:,} classes</p></header>",
    ]
    tiles = "".join(
        f"<li><span>{safe(name)}</span><b>{value}</b><span>{safe(note)}</span></li>"
        for name, value, note in _tiles(data)
    )
    parts += [f'<ul class="tiles">{tiles}</ul>'] if tiles else []
    parts += [f'<p class="note">{safe(note)}</p>' for note in data.notes]
    return [*parts, pairs(data.facts)] if data.facts else parts


def _tiles(data: ReleaseData) -> Iterator[tuple[str, str, str]]:
    """The figures that matter, each with its number of images and its uncertainty."""
    everything = _sum(row.after for row in data.rows)
    if everything[1]:
        note = f"95 %: {interval(everything)}; n = {everything[1]:,}"
        yield "right, all classes", f"{percent(ratio(everything))} %", note
    old = [row for row in data.rows if row.before is not None]
    before, after = _sum(row.before or (0, 0) for row in old), _sum(row.after for row in old)
    if before[1] and after[1]:
        note = f"{percent(ratio(before))} before, {percent(ratio(after))} after; n = {after[1]:,}"
        yield "old classes, points", change(before, after), note
    if data.calibration and data.calibration.right:
        floor = data.calibration.floor
        note = f"n = {len(data.calibration.right):,}"
        note += "" if floor is None else f"; {percent(floor)} is chance on so few images"
        yield "calibration error, points", percent(data.calibration.ece), note
    if data.unknown and data.unknown.known:
        count = above(data.unknown.known, data.unknown.threshold)
        asked = f"{percent(data.unknown.false_alarms)} % asked for"
        note = f"{asked}; 95 %: {interval(count)}; n = {count[1]:,}"
        yield "known, called unknown", f"{percent(ratio(count))} %", note


def _by_class(rows: Sequence[ClassRow], measured_on: str) -> list[str]:
    """Every class before and after, the greatest loss first."""
    ordered = sorted(rows, key=_loss)
    heads = ("class", "images", "before, %", "after, %", "change", "95 % of after", "")
    caption = f"Right ones of the {measured_on}, by class; the greatest loss first"
    lines = [_line(row) for row in ordered]
    parts = [
        '<section class="classes"><h2>Before and after</h2>',
        table(caption, heads, lines[:ROWS]),
    ]
    if len(lines) > ROWS:
        rest = table(f"The other {len(lines) - ROWS} classes", heads, lines[ROWS:])
        parts.append(more(f"{len(lines) - ROWS} more classes", rest))
    return [*parts, "</section>"]


def _loss(row: ClassRow) -> tuple[int, float, str]:
    """Old classes by their change, then new ones by their accuracy."""
    points = ratio(row.after) - ratio(row.before)
    known = math.isfinite(points)
    share = ratio(row.after)
    return (0, points, row.name) if known else (1, share if math.isfinite(share) else 2.0, row.name)


def _line(row: ClassRow) -> list[str]:
    points = change(row.before, row.after)
    before = "new" if row.before is None else percent(ratio(row.before))
    worse = ' class="worse"' if points.startswith("\u2212") else ""
    drawn = bar(row.after) if row.after[1] else ""
    return [
        safe(row.name), f"{row.after[1]:,}", before, percent(ratio(row.after)),
        f"<span{worse}>{points}</span>", interval(row.after), drawn,
    ]  # fmt: skip


def _kept(data: ReleaseData) -> list[str]:
    """What is stored, what was left out, and how to go back."""
    parts = []
    if data.stored:
        parts += ["<section><h2>What is stored of the data</h2>", pairs(data.stored), "</section>"]
    if data.skipped:
        lines = "".join(f"<li>{safe(f)}: {safe(why)}</li>" for f, why in data.skipped[:FILES])
        rest = len(data.skipped) - FILES
        lines += f"<li>and {rest:,} more</li>" if rest > 0 else ""
        count = f"{len(data.skipped):,} file{'s' * (len(data.skipped) != 1)} left out"
        parts.append(
            f"<section><h2>Left out</h2>{more(count, f'<ul class=plain>{lines}</ul>')}</section>"
        )
    parts.append("<section><h2>How to go back</h2>")
    if data.parent:
        parts.append(
            f"<p>Version {data.parent} is still there; this puts it back in use. Nothing is deleted.</p>"
            f'<code class="back">{safe(back_command(data))}</code></section>'
        )
    else:
        parts.append("<p>This is the first version: there is none before it.</p></section>")
    return parts


def _sum(counts: Iterator[Count]) -> Count:
    right = total = 0
    for a, n in counts:
        right, total = right + a, total + n
    return right, total
