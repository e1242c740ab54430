"""An embedding as SVG: a colour and a shape for each class, prototypes as diamonds with their names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from holdfast.compare.axes import short
from holdfast.compare.charts import STYLES
from holdfast.compare.diagnosis import Embedding, Point
from holdfast.report.markup import percent, safe
from holdfast.report.svg import figure, write

SIDE, EDGE = 420, 26  # of the plane, in the units of its viewBox
SHAPES = ("h0", "m-3,0h6m-3,-3v6", "m-2.5,-2.5l5,5m0,-5l-5,5", "m-2.5,2h5l-2.5,-4.5z")
NAMED = 24  # classes whose names fit into the plane


def embedding_chart(drawn: Embedding, names: Sequence[str], task: int) -> str:
    """Watched rows in a plane, by class.

    Args:
        drawn: the places.
        names: of the classes, by number.
        task: index of the one it was measured after.
    """
    scale = _Scale([*drawn.points, *drawn.prototypes])
    by_class: dict[int, list[Point]] = {}
    for place, label in zip(drawn.points, drawn.labels):
        by_class.setdefault(label, []).append(scale(place))
    parts = [
        _rows(label, _name(label, names), places) for label, places in sorted(by_class.items())
    ]
    marks = {k: scale(place) for place, k in zip(drawn.prototypes, drawn.prototype_labels)}
    parts += [_diamond(k, _name(k, names), place) for k, place in sorted(marks.items())]
    if len(by_class) <= NAMED:
        middles = {k: _middle(places) for k, places in by_class.items()} | marks
        parts += _written(middles, names)
    count = f"{len(drawn.points)} watched rows of {len(by_class)} classes"
    label = f"Embedding of {count} after task {task + 1}"
    if drawn.explained == drawn.explained:
        label += f"; the plane shows {percent(drawn.explained)} % of the variance"
    frame = f'<rect x="0.5" y="0.5" width="{SIDE - 1}" height="{SIDE - 1}" class="frame"/>'
    return figure(SIDE, SIDE, label, [frame, *parts], "plane")


class _Scale:
    """Where places lie in the picture: the same unit in both directions."""

    def __init__(self, places: Sequence[Point]):
        xs, ys = zip(*places)
        self.left, self.top = (min(xs) + max(xs)) / 2, (min(ys) + max(ys)) / 2
        self.unit = (SIDE - 2 * EDGE) / (max(max(xs) - min(xs), max(ys) - min(ys)) or 1.0)

    def __call__(self, place: Point) -> Point:
        x, y = place
        return SIDE / 2 + self.unit * (x - self.left), SIDE / 2 - self.unit * (y - self.top)


def _rows(label: int, name: str, places: Sequence[Point]) -> str:
    """All rows of a class as one path: a shape drawn at each place."""
    shape = SHAPES[(label + label // STYLES) % len(SHAPES)]
    path = "".join(f"M{x:.0f},{y:.0f}{shape}" for x, y in places)
    kind = "dots" if shape == "h0" else "strokes"
    words = f"<title>{safe(name)}: {len(places)} rows</title>"
    return f'<path d="{path}" class="{kind} s{label % STYLES}">{words}</path>'


def _diamond(label: int, name: str, place: Point) -> str:
    x, y = place
    path = f"M{x:.0f},{y - 7:.0f}l7,7l-7,7l-7,-7z"
    words = f"<title>prototype of {safe(name)}</title>"
    return f'<path d="{path}" class="prototype s{label % STYLES}">{words}</path>'


def _written(places: Mapping[int, Point], names: Sequence[str]) -> list[str]:
    """Names beside their places, moved down where one would lie on another."""
    parts: list[str] = []
    taken: list[tuple[float, float, float]] = []  # left end, height, width
    for label, (x, y) in sorted(places.items(), key=lambda entry: entry[1][1]):
        text = short(_name(label, names), 14)
        wide, left = 7.0 * len(text), x > SIDE - 14 - 7 * len(text)
        start, low = x - 10 - wide if left else x + 10, y + 4
        for _ in range(20):
            if not any(_lies_on(start, low, wide, other) for other in taken):
                break
            low += 6
        taken.append((start, low, wide))
        side = (x - 10, "name end") if left else (x + 10, "name")
        parts.append(write(side[0], min(low, SIDE - 4), text, side[1]))
    return parts


def _lies_on(start: float, low: float, wide: float, other: tuple[float, float, float]) -> bool:
    left, height, width = other
    return abs(low - height) < 13 and left < start + wide and start < left + width


def _middle(places: Sequence[Point]) -> Point:
    return sum(x for x, _ in places) / len(places), sum(y for _, y in places) / len(places)


def _name(label: int, names: Sequence[str]) -> str:
    return str(names[label]) if 0 <= label < len(names) else str(label)
