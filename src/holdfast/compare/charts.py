"""Charts of a comparison as SVG: colours come from the page, and no line is told by its colour alone."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from holdfast.compare.axes import BOTTOM, HEIGHT, Axes, power, short, spread, ticks
from holdfast.compare.labels import label_places
from holdfast.report.markup import safe
from holdfast.report.svg import figure, write

STYLES = 8  # of lines and marks, see page.html


@dataclass(frozen=True)
class Line:
    """Points of one method, with the half widths of their intervals."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    half: Sequence[float] = ()


@dataclass(frozen=True)
class Mark:
    """One method at a cost; ``front`` if none is better at as little."""

    name: str
    x: float
    y: float
    half: float
    front: bool


def lines_chart(
    lines: Sequence[Line],
    below: str,
    beside: str,
    label: str,
    limit: float = math.inf,
    log: bool = False,
) -> str:
    """Lines over whole numbers with bands, each named at its end.

    Args:
        lines: what is drawn.
        below: what the axis to the right shows.
        beside: what the axis upwards shows.
        label: for those who do not see it.
        limit: above which nothing is drawn.
        log: whether the values are logarithms to the base of 10.
    """
    xs = [x for line in lines for x in line.x]
    ys = [y for line in lines for y in line.y if math.isfinite(y)]
    if not xs or not ys:
        return ""
    ends = [y + h for line in lines for y, h in zip(line.y, line.half) if math.isfinite(h)]
    low, high = min(ys) if log else min(0.0, *ys), min(limit, max([*ys, *ends]))
    if log:
        low, high = math.floor(low), max(math.ceil(high), math.floor(low) + 1)
    axes = Axes((min(xs), max(xs)), (low, high), below, beside)
    for k, line in enumerate(lines):
        points = [(x, y) for x, y in zip(line.x, line.y) if math.isfinite(y)]
        if line.half and all(map(math.isfinite, line.half)):
            up = [(x, min(y + h, high)) for x, y, h in zip(line.x, line.y, line.half)]
            down = [(x, max(y - h, low)) for x, y, h in zip(line.x, line.y, line.half)]
            axes.area([*up, *reversed(down)], f"band s{k % STYLES}")
        axes.path(points, f"series s{k % STYLES}{_round(k)}")
    _end_names(axes, lines)
    marks = [(v, f"{v:g}") for v in ticks(min(xs), max(xs), 8) if v == int(v)]
    steps = ticks(low, axes.ends[1][1])
    values = (
        [(v, power(int(v))) for v in steps if v == int(v)]
        if log
        else [(v, f"{v:g}") for v in steps]
    )
    return axes.finish(label, marks, values)


def _round(k: int) -> str:
    """The dashes of a line beyond the first eight."""
    return f" r{k // STYLES % 3}" if k >= STYLES else ""


def _end_names(axes: Axes, lines: Sequence[Line]) -> None:
    """The name of each line at its end, moved apart so that none lies on another."""
    ends = sorted((axes.y(line.y[-1]), k) for k, line in enumerate(lines) if line.y)
    edge = max((axes.x(line.x[-1]) for line in lines if line.y), default=0.0)
    places = spread([y for y, _ in ends], 13, HEIGHT - BOTTOM)
    for (y, k), place in zip(ends, places):
        x = axes.x(lines[k].x[-1])
        axes.content.append(
            f'<polyline points="{x:.1f},{y:.1f} {edge + 8:.1f},{place:.1f} {edge + 14:.1f},{place:.1f}" '
            f'class="lead s{k % STYLES}"/>'
            + write(edge + 17, place + 3.5, short(lines[k].name), f"name s{k % STYLES}")
        )


def forest_chart(rows: Sequence[tuple[str, float, float, float]], unit: str, label: str) -> str:
    """Differences with intervals, a row each; the grey bar is what would not be seen.

    Args:
        rows: name, mean, half of the interval, and the detectable difference.
        unit: of the differences.
        label: for those who do not see it.
    """
    known = [row for row in rows if math.isfinite(row[1])]
    if not known:
        return ""
    finite = lambda v: v if math.isfinite(v) else 0.0
    reach = max(abs(m) + max(finite(h), finite(d)) for _, m, h, d in known) or 1.0
    low = min([0.0, *(min(m - finite(h), -finite(d)) for _, m, h, d in known)])
    high = max([0.0, *(max(m + finite(h), finite(d)) for _, m, h, d in known)])
    high = high if high > low else low + reach
    low, high = low - 0.02 * (high - low) * (low < 0), high + 0.02 * (high - low)
    left, wide, step = 150, 440, 22
    tall = step * len(known) + 44
    x = lambda v: left + wide * (v - low) / (high - low)
    parts = []
    for v in ticks(low, high, 7):
        name = "zero" if v == 0 else "grid"
        parts.append(
            f'<line x1="{x(v):.1f}" x2="{x(v):.1f}" y1="8" y2="{tall - 34}" class="{name}"/>'
        )
        parts.append(write(x(v), tall - 20, f"{v:g}", "middle"))
    parts.append(write(left + wide / 2, tall - 5, f"difference, {unit}", "middle axis"))
    for k, (name, mean, half, visible) in enumerate(known):
        y = 19 + k * step
        if math.isfinite(visible):
            parts.append(
                f'<rect x="{x(-visible):.1f}" width="{x(visible) - x(-visible):.1f}" y="{y - 7}" '
                'height="14" class="unseen"/>'
            )
        if math.isfinite(half):
            ends = f'x1="{x(mean - half):.1f}" x2="{x(mean + half):.1f}" y1="{y}" y2="{y}"'
            parts.append(f'<line {ends} class="whisker"/>')
        parts.append(f'<circle cx="{x(mean):.1f}" cy="{y}" r="4" class="dot"/>')
        parts.append(write(left - 8, y + 4, short(name), "end name"))
    return figure(left + wide + 20, tall, label, parts, "chart")


def cost_chart(marks: Sequence[Mark], below: str, beside: str, label: str) -> str:
    """Methods by cost (logarithmic, with a place for 0) and figure; the best at each cost are joined."""
    known = [m for m in marks if math.isfinite(m.x) and math.isfinite(m.y)]
    if not known:
        return ""
    above = [m.x for m in known if m.x > 0] or [1.0]
    low, high = math.floor(math.log10(min(above))), math.ceil(math.log10(max(above)) + 1e-9)
    zero = any(m.x <= 0 for m in known)
    turn = lambda v: math.log10(v) if v > 0 else low - 1
    axes = Axes((low - zero, max(high, low + 1)), (0.0, max(m.y for m in known)), below, beside)
    front = sorted((turn(m.x), m.y) for m in known if m.front)
    if len(front) > 1:
        steps = [(b[0], a[1]) for a, b in itertools.pairwise(front)]
        axes.path([p for pair in zip(front, [*steps, front[-1]]) for p in pair], "front")
    places = [(axes.x(turn(m.x)), axes.y(m.y)) for m in known]
    named = named_beside(known, places)
    for m, (x, y), name in zip(known, places, named):
        kind = "dot" if m.front else "ring"
        words = safe(f"{m.name}: {m.y:.1f} at {m.x:,.4g}")
        axes.content.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" class="{kind}"><title>{words}</title></circle>{name}'
        )
    powers = [(v, power(v)) for v in range(low, max(high, low + 1) + 1)]
    shown = [(low - 1, "0")] * zero + powers[:: max(1, len(powers) // 6)]
    steps = [(v, f"{v:g}") for v in ticks(0.0, axes.ends[1][1])]
    return axes.finish(label, shown, steps)


def named_beside(marks: Sequence[Mark], places: Sequence[tuple[float, float]]) -> list[str]:
    """The names of marks beside them, with a line to those that found no room there."""
    names = [short(m.name) for m in marks]
    output = []
    for name, (x, y), label in zip(names, places, label_places(names, places)):
        text = write(label.x, label.y, name, "name end" if label.left else "name")
        if label.away:
            end = label.x + (2 if label.left else -2)
            ends = f'x1="{x:.1f}" y1="{y:.1f}" x2="{end:.1f}" y2="{label.y - 3.5:.1f}"'
            text = f'<line {ends} class="lead"/>{text}'
        output.append(text)
    return output


def pareto(points: Sequence[tuple[float, float]]) -> list[bool]:
    """Whether no other point costs at most as much and is better, or costs less and is as good.

    >>> pareto([(0.0, 5.0), (1.0, 4.0), (1.0, 7.0)])
    [True, False, True]
    """
    return [
        not any(
            (x <= a and y > b) or (x < a and y >= b) for x, y in points if math.isfinite(x + y)
        )
        for a, b in points
    ]  # fmt: skip
