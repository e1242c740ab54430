"""Names of marks in a plane, placed so that none lies on another name or on a mark."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from holdfast.compare.axes import BOTTOM, HEIGHT, LEFT, TOP, WIDTH

LETTER, LINE, RADIUS = 6.1, 13.0, 6.0  # width of a letter, height of a line, of a mark
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Label:
    """Where a name stands.

    Attributes:
        x, y: of its end at the mark, on its base line.
        left: whether it stands at the left of its mark, and so ends there.
        away: whether it is so far off that a line must lead to it.
    """

    x: float
    y: float
    left: bool
    away: bool


def label_places(names: Sequence[str], marks: Sequence[tuple[float, float]]) -> list[Label]:
    """A place for each name, the nearest that is free; marks from above to below.

    Args:
        names: as they are written.
        marks: where each lies, in the units of the chart.

    >>> [label.left for label in label_places(["a", "b"], [(60.0, 99.0), (80.0, 99.0)])]
    [False, False]
    >>> [label.away for label in label_places(["a", "b"], [(60.0, 99.0), (60.0, 99.0)])]
    [False, True]
    """
    taken = [(x - RADIUS, y - RADIUS, x + RADIUS, y + RADIUS) for x, y in marks]
    output: dict[int, Label] = {}
    for k in sorted(range(len(marks)), key=lambda k: (marks[k][1], marks[k][0])):
        free = (
            (label, box)
            for label, box in _choices(names[k], *marks[k])
            if not any(_meet(box, other) for other in taken)
        )
        nearest = next(_choices(names[k], *marks[k]))
        output[k], box = next(free, nearest)
        taken.append(box)
    return [output[k] for k in range(len(marks))]


def _choices(name: str, x: float, y: float) -> Iterator[tuple[Label, Box]]:
    """Places beside a mark and the room they take, the nearest first."""
    long = LETTER * len(name)
    rows = [0, *(sign * n for n in range(1, 20) for sign in (1, -1))]
    some = False
    for row in rows:
        base = y + 3.5 + LINE * row
        for left in (False, True):
            gap = 8.0 if row == 0 else 18.0
            start = x - gap if left else x + gap
            box = (start - long * left, base - 9, start + long * (not left), base + 2)
            if box[0] < LEFT + 2 or box[2] > WIDTH or not TOP - 12 < base < HEIGHT - BOTTOM:
                continue
            some = True
            yield Label(start, base, left, row != 0), box
    if not some:  # a name longer than the chart
        yield Label(x + 8, y + 3.5, False, False), (x, y, x, y)


def _meet(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
