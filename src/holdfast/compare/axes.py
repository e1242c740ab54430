"""The frame of a chart: its ends, its ticks, and where values and names lie in it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from holdfast.report.svg import figure, write

WIDTH, HEIGHT = 640, 320  # in the units of a viewBox
LEFT, RIGHT, TOP, BOTTOM = 48, 166, 26, 40


class Axes:
    """A frame with ticks, and where values lie in it.

    Args:
        x, y: the ends of both axes.
        below, beside: what they show.
        right: room for the names of lines.
    """

    def __init__(
        self,
        x: tuple[float, float],
        y: tuple[float, float],
        below: str,
        beside: str,
        right: int = RIGHT,
    ):
        self.ends, self.below, self.beside, self.right = (
            (_apart(*x), _apart(*y)),
            below,
            beside,
            right,
        )
        self.content: list[str] = []

    def x(self, value: float) -> float:
        """Where a value lies, from the left."""
        (low, high), room = self.ends[0], WIDTH - LEFT - self.right
        return LEFT + room * (value - low) / (high - low)

    def y(self, value: float) -> float:
        """Where a value lies, from above."""
        (low, high), room = self.ends[1], HEIGHT - TOP - BOTTOM
        return HEIGHT - BOTTOM - room * (value - low) / (high - low)

    def path(self, points: Sequence[tuple[float, float]], name: str) -> None:
        """A line through points."""
        text = " ".join(f"{self.x(x):.1f},{self.y(y):.1f}" for x, y in points)
        self.content.append(f'<polyline points="{text}" class="{name}"/>')

    def area(self, points: Sequence[tuple[float, float]], name: str) -> None:
        """A filled outline."""
        text = " ".join(f"{self.x(x):.1f},{self.y(y):.1f}" for x, y in points)
        self.content.append(f'<polygon points="{text}" class="{name}"/>')

    def finish(
        self, label: str, xs: Sequence[tuple[float, str]], ys: Sequence[tuple[float, str]]
    ) -> str:
        """The chart with its ticks."""
        ends = WIDTH - self.right
        grid = [
            f'<line x1="{LEFT}" x2="{ends}" y1="{self.y(v):.1f}" y2="{self.y(v):.1f}" class="grid"/>'
            + write(LEFT - 6, self.y(v) + 3.5, text, "end")
            for v, text in ys
        ]
        ticks = [write(self.x(v), HEIGHT - BOTTOM + 15, text, "middle") for v, text in xs]
        names = [
            write((LEFT + ends) / 2, HEIGHT - 6, self.below, "middle axis"),
            write(4, 12, self.beside, "axis"),
        ]
        return figure(WIDTH, HEIGHT, label, [*grid, *self.content, *ticks, *names], "chart")


def spread(wanted: Sequence[float], gap: float, top: float) -> list[float]:
    """Ascending places at least ``gap`` apart and at most ``top``, as near as can be to those wanted.

    >>> spread([5.0, 6.0, 30.0], 10, 100)
    [5.0, 15.0, 30.0]
    """
    places: list[float] = []
    for value in wanted:
        places.append(max(value, places[-1] + gap) if places else value)
    limit = top
    for k in range(len(places) - 1, -1, -1):
        places[k] = min(places[k], limit)
        limit = places[k] - gap
    return places


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round values between two ends.

    >>> ticks(0, 87)
    [0.0, 20.0, 40.0, 60.0, 80.0]
    """
    step = 10.0 ** math.floor(math.log10((high - low) or 1.0))
    step = next(
        (step * f for f in (0.1, 0.2, 0.5, 1, 2, 5) if (high - low) / (step * f) < most), step * 10
    )
    first = math.ceil(low / step - 1e-9)
    return [round(k * step, 12) + 0.0 for k in range(first, math.floor(high / step + 1e-9) + 1)]


def short(name: str, most: int = 21) -> str:
    """A name that fits beside a chart."""
    return name if len(name) <= most else f"{name[: most - 1]}…"


def _apart(low: float, high: float) -> tuple[float, float]:
    return (low, high) if high > low else (low, low + 1.0)


def power(exponent: int) -> str:
    """A power of ten as a tick says it.

    >>> power(-1), power(3), power(5), power(20)
    ('0.1', '1 k', '100 k', '10^20')
    """
    names = {-2: "0.01", -1: "0.1", 0: "1", 1: "10", 2: "100"}
    units = dict(enumerate(("", " k", " M", " G", " T")))
    if 3 <= exponent < 15:
        return f"{10 ** (exponent % 3)}{units[exponent // 3]}"
    return names.get(exponent, f"10^{exponent}")
