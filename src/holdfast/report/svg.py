"""The figures of a release page, drawn as SVG: colours come from the page, texts are escaped."""

from __future__ import annotations

import math
from collections.abc import Sequence

from holdfast.report.markup import percent, safe
from holdfast.report.release_data import Calibration, Confusion, Count, Unknown
from holdfast.report.wilson import wilson

WIDTH, HEIGHT = 360, 240  # of a plot, in the units of its viewBox
LEFT, TOP, RIGHT, BOTTOM = 40, 24, 12, 36
SHOWN = 50  # classes of a confusion matrix


def figure(
    width: float, height: float, label: str, content: Sequence[str], name: str, shown: float = 0
) -> str:
    """An SVG of a size, perhaps shown at another width, with a sentence for those who do not see it."""
    wide = f' width="{shown:.0f}"' if shown else ""
    return (
        f'<svg viewBox="0 0 {width:g} {height:g}"{wide} role="img" class="{name}" '
        f'aria-label="{safe(label)}">{"".join(content)}</svg>'
    )


def write(x: float, y: float, text: str, name: str = "", extra: str = "") -> str:
    """A text at a place."""
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{name}" {extra}>{safe(text)}</text>'


def bar(count: Count) -> str:
    """A share as a bar, with its interval as a line."""
    low, high = wilson(*count)
    share = 100 * count[0] / max(count[1], 1)
    return (
        '<svg viewBox="0 0 100 10" class="bar" aria-hidden="true" preserveAspectRatio="none">'
        '<rect width="100" height="10" class="track"/>'
        f'<rect width="{share:.1f}" height="10" class="fill"/>'
        f'<rect x="{100 * low:.1f}" width="{100 * (high - low):.1f}" y="4" height="2" class="line"/></svg>'
    )


class Plot:
    """Axes from 0 to the ends of both, and what is drawn on them.

    Args:
        right, top: values at the ends of the axes.
        below, beside: what the axes show.
    """

    def __init__(self, right: float, top: float, below: str, beside: str):
        self.right, self.top, self.content = right, top, []
        self.below, self.beside = below, beside

    def x(self, value: float) -> float:
        """Where a value lies, from the left."""
        return LEFT + (WIDTH - LEFT - RIGHT) * value / self.right

    def y(self, value: float) -> float:
        """Where a value lies, from above."""
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / self.top

    def box(self, x0: float, x1: float, y: float, name: str) -> None:
        """A bar that stands on the axis."""
        left, width = self.x(x0), self.x(x1) - self.x(x0)
        self.content.append(
            f'<rect x="{left:.1f}" width="{max(width - 1, 0.5):.1f}" y="{self.y(y):.1f}" '
            f'height="{self.y(0) - self.y(y):.1f}" class="{name}"/>'
        )

    def line(self, x0: float, y0: float, x1: float, y1: float, name: str) -> None:
        """A straight line."""
        self.content.append(
            f'<line x1="{self.x(x0):.1f}" y1="{self.y(y0):.1f}" x2="{self.x(x1):.1f}" '
            f'y2="{self.y(y1):.1f}" class="{name}"/>'
        )

    def finish(
        self, label: str, xs: Sequence[tuple[float, str]], ys: Sequence[tuple[float, str]]
    ) -> str:
        """The figure, with ticks at places of the axes."""
        grid = [
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{self.y(v):.1f}" y2="{self.y(v):.1f}" '
            'class="grid"/>' + write(LEFT - 5, self.y(v) + 3.5, text, "end")
            for v, text in ys
        ]
        ticks = [write(self.x(v), HEIGHT - BOTTOM + 14, text, "middle") for v, text in xs]
        names = [
            write((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 5, self.below, "middle axis"),
            write(LEFT - 34, 9, self.beside, "axis"),
        ]
        return figure(WIDTH, HEIGHT, label, [*grid, *self.content, *ticks, *names], "plot")


def confusion_figure(confusion: Confusion) -> str:
    """The matrix of the classes with most errors: rows are true classes, shades are shares of a row."""
    chosen = worst_classes(confusion)
    cell, size = (14 if len(chosen) <= 25 else 10), len(chosen)
    left = 110.0
    parts = []
    for i, row in enumerate(chosen):
        total = sum(confusion.counts[row])
        name = str(confusion.names[row])
        parts.append(write(left - 4, (i + 0.75) * cell, _short(name), "end cell"))
        for j, column in enumerate(chosen):
            count = confusion.counts[row][column]
            if not count:
                continue
            words = safe(f"{name} taken for {confusion.names[column]}: {count} of {total}")
            kind, shade = "right" if row == column else "error", 0.15 + 0.85 * count / max(total, 1)
            place = f'x="{left + j * cell:g}" y="{i * cell}" width="{cell - 1}" height="{cell - 1}"'
            parts.append(
                f'<rect {place} class="{kind}" fill-opacity="{shade:.2f}"><title>{words}</title></rect>'
            )
    frame = f'<rect x="{left}" width="{size * cell}" height="{size * cell}" class="frame"/>'
    label = (
        f"Confusion matrix of {size} classes, rows are true classes; its errors stand in the table"
    )
    width = left + size * cell + 1
    return figure(width, size * cell + 1, label, [frame, *parts], "matrix", 1.4 * width)


def worst_classes(confusion: Confusion, most: int = SHOWN) -> list[int]:
    """The classes with most errors, theirs or into them; in their own order.

    >>> worst_classes(Confusion("abc", [[5, 0, 0], [0, 4, 1], [0, 3, 2]]), 2)
    [1, 2]
    """
    counts, places = confusion.counts, range(len(confusion.names))
    into = [sum(row[k] for row in counts) for k in places]
    errors = [sum(counts[k]) + into[k] - 2 * counts[k][k] for k in places]
    return sorted(sorted(places, key=lambda k: -errors[k])[:most])


def calibration_figure(calibration: Calibration, bins: int = 10) -> str:
    """Share of right ones by how sure the model was, with intervals; the diagonal is what is said."""
    plot = Plot(1, 1, "how sure the model was, %", "right, %")
    plot.line(0, 0, 1, 1, "ideal")
    for sure, right, total in reliability(calibration, bins):
        low, high = wilson(right, total)
        left = min(int(sure * bins), bins - 1) / bins
        plot.box(left, left + 1 / bins, right / total, "known")
        plot.line(sure, low, sure, high, "whisker")
    ticks = [(v / 4, f"{25 * v}") for v in range(5)]
    label = (
        f"Share of right answers by confidence, {len(calibration.right)} images; expected calibration "
        f"error {percent(calibration.ece)} points"
    )
    return plot.finish(label, ticks, ticks)


def reliability(calibration: Calibration, bins: int = 10) -> list[tuple[float, int, int]]:
    """Of every bin that holds images: mean confidence, right ones, of how many.

    >>> reliability(Calibration([0.25, 0.35, 1.0], [True, False, True], 0.1), 2)
    [(0.3, 1, 2), (1.0, 1, 1)]
    """
    rows: list[list[tuple[float, bool]]] = [[] for _ in range(bins)]
    for confidence, right in zip(calibration.confidence, calibration.right, strict=True):
        rows[min(int(confidence * bins), bins - 1)].append((confidence, right))
    return [
        (sum(c for c, _ in row) / len(row), sum(r for _, r in row), len(row)) for row in rows if row
    ]


def unknown_figure(unknown: Unknown, bins: int = 24) -> str:
    """How strange images looked, each kind as shares of its own; the line is the threshold."""
    end = scale_end(unknown)
    known = shares(unknown.known, end, bins)
    strange = shares(unknown.strange or [], end, bins)
    top = max([*known, *strange, 0.01])
    plot = Plot(end, top, "how strange it looks (the last bar: that and more)", "share, %")
    for values, name in ((known, "known"), (strange, "strange")):
        for i, value in enumerate(values):
            if value:
                plot.box(i * end / bins, (i + 1) * end / bins, value, name)
    plot.line(unknown.threshold, 0, unknown.threshold, top, "threshold")
    above = sum(score > unknown.threshold for score in unknown.known)
    label = f"Scores of {len(unknown.known)} known images, {above} above the threshold"
    if unknown.strange is not None:
        caught = sum(score > unknown.threshold for score in unknown.strange)
        label += f"; of {len(unknown.strange)} strange images, {caught}"
    step = end / 4
    xs = [(i * step, f"{i * step:.3g}") for i in range(5)]
    return plot.finish(label, xs, [(top * i / 2, percent(top * i / 2, 0)) for i in range(3)])


def scale_end(unknown: Unknown) -> float:
    """The end of the axis: past the threshold and 98 % of the known; the last bar has what lies beyond."""
    values = sorted(v for v in unknown.known if math.isfinite(v))
    far = values[int(0.98 * (len(values) - 1))] if values else 0.0
    threshold = unknown.threshold if math.isfinite(unknown.threshold) else 0.0
    return max(1.6 * threshold, 1.1 * far, 1e-9)


def shares(values: Sequence[float], end: float, bins: int) -> list[float]:
    """The share of the values in each bin up to ``end``; beyond it, and for nan, the last one.

    >>> shares([0.1, 0.6, 9.0, float("nan")], 1.0, 2)
    [0.25, 0.75]
    """
    counts = [0] * bins
    for value in values:
        place = int(value / end * bins) if 0 <= value < end else bins - 1 if not value < 0 else 0
        counts[place] += 1
    return [count / max(len(values), 1) for count in counts]


def _short(name: str, most: int = 17) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}…"
