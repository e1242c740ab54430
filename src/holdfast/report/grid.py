"""A run in two pictures: the accuracy matrices, and what became of each task."""

from __future__ import annotations

import functools
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib import colormaps, font_manager
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PatchCollection
from matplotlib.colors import LinearSegmentedColormap, to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from holdfast.metrics.accuracy import Accuracy
from holdfast.report.table import figures, finished, label, percent, plain, shorten, task_names
from holdfast.train.result import Result

DPI = 150
MANY = 40  # with more tasks, a picture is read by its colours and names only some of them
INK, MUTED, EMPTY = "#1f2529", "#6b757d", "#f1f3f4"
ACCENT = LinearSegmentedColormap.from_list("accent", ["#f0f5f8", "#a7c7d8", "#4c8cae", "#14506f"])
FONTS = (  # the first is matplotlib's own; the others serve letters it lacks, where installed
    "DejaVu Sans", "Noto Sans", "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans CJK KR",
    "Hiragino Sans", "PingFang SC", "Yu Gothic", "Microsoft YaHei", "Malgun Gothic",
    "WenQuanYi Micro Hei", "Arial Unicode MS",
)  # fmt: skip

Places = Sequence[tuple[float, float]]


def matrix_picture(result: Result, path: str | Path) -> None:
    """Write a PNG of both accuracy matrices: rows after task i, columns on task j, all seen last."""
    names, tasks = task_names(result), len(result.class_il.sizes)
    cell = min(0.8, max(0.38, 7 / tasks)) if tasks <= MANY else 15 / tasks
    wide, high = (tasks + 1.3) * cell, tasks * cell
    pitch = max(wide + 0.6, 3.6)
    figure = _figure(pitch + wide, high)
    ax = figure.add_axes((0, 0, 1, 1), xlim=(0, pitch + wide), ylim=(high, 0))
    ax.set_axis_off()
    _panel(ax, 0, cell, "Class-IL", result.class_il, names)
    _panel(ax, pitch, cell, "Task-IL", result.task_il, names)
    style = {"ha": "right", "va": "center_baseline"}
    rows = [
        _write(ax, -0.1, (task + 0.5) * cell, label(task, names, 30), 8.5, **style)
        for task in range(0, tasks, -(-tasks // MANY))
    ]
    rows.append(_write(ax, -0.1, -0.18, "after learning", 8.5, color=MUTED, **style))
    left = min(row.get_window_extent().x0 for row in rows) / DPI
    heading, below = _title(result, max(pitch + wide, pitch + 2.8) - left)
    below += "\nRows: after learning that task. Columns: accuracy in percent on each task."
    _write(ax, left, -0.8, below, 9, color=MUTED)
    _write(ax, left, -1.06 - 0.15 * below.count("\n"), heading, 12, weight="bold")
    _save(figure, path)


def _panel(
    ax: Axes, x: float, cell: float, title: str, accuracy: Accuracy, names: Sequence[list[str]]
) -> None:
    """One matrix, its upper left corner at (x, 0) in inches, with its title and column labels."""
    tasks = len(accuracy.sizes)
    squares = [(i, j) for i in range(tasks) for j in range(i + 1)]
    places, matrix = [(x + j * cell, i * cell) for i, j in squares], accuracy.matrix.tolist()
    _cells(ax, cell, places, [matrix[i][j] for i, j in squares])
    places = [(x + (tasks + 0.3) * cell, i * cell) for i in range(tasks)]
    _cells(ax, cell, places, [accuracy.after(i) for i in range(tasks)], "bold")
    flat, low = tasks <= 6, tasks * cell + 0.1
    style = {"ha": "center", "va": "top", "rotation": 0 if flat else 90}
    for task in range(0, tasks, -(-tasks // MANY)):
        words = _stacked(task, names) if flat else label(task, names, 22)
        _write(ax, x + (task + 0.48) * cell, low, words, 7.5, **style)
    words = "all\nseen" if flat else "all seen"
    _write(ax, x + (tasks + 0.78) * cell, low, words, 7.5, weight="bold", **style)
    final, average, forgetting, transfer = map(percent, figures(accuracy))
    _write(ax, x, -0.45, title, 11, weight="bold")
    _write(ax, x, -0.28, f"final {final}, average {average}", 8.5, color=MUTED)
    _write(ax, x, -0.12, f"forgetting {forgetting}, backward transfer {transfer}", 8.5, color=MUTED)


def _stacked(task: int, names: Sequence[list[str]]) -> str:
    """A task's number and its first class names, one on each line."""
    shown = [shorten([name], 14) for name in names[task][:3]]
    more = [f"+{len(names[task]) - 3}"] if len(names[task]) > 3 else []
    return "\n".join([f"task {task + 1}", *shown, *more])


def _cells(
    ax: Axes, size: float, places: Places, values: Sequence[float], weight: str = "normal"
) -> None:
    """Squares with their percentage; pale and without one where the run has not come so far."""
    colours = [to_hex(ACCENT(value)) if value == value else EMPTY for value in values]
    edge = 0.96 * size
    squares = [Rectangle(place, edge, edge) for place in places]
    ax.add_collection(PatchCollection(squares, facecolors=colours, linewidths=0))
    digits, points = (1, 9) if size > 0.5 else (0, 7.5)
    for (x, y), value, colour in zip(places, values, colours, strict=True):
        if value == value and size > 0.3:
            style = {
                "color": _ink(colour),
                "weight": weight,
                "ha": "center",
                "va": "center_baseline",
            }
            _write(ax, x + edge / 2, y + edge / 2, percent(value, digits), points, **style)


def _ink(colour: str) -> str:
    """White or dark, whichever stands out more from a colour, by its relative luminance."""
    r, g, b = (c / 12.92 if c <= 0.04 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour))
    return "white" if 0.2126 * r + 0.7152 * g + 0.0722 * b < 0.21 else INK


def retention_picture(result: Result, path: str | Path) -> None:
    """Write a PNG of each task's accuracy as later tasks arrive, of everything seen, and of chance."""
    names, tasks, done = task_names(result), len(result.class_il.sizes), finished(result.class_il)
    high, named = max(3.4, 0.2 * (min(done, MANY) + 3)), tasks <= MANY
    figure = _figure(9, high + 1)
    ax = figure.add_axes((0.07, 0.6 / (high + 1), 0.66, high / (high + 1)))
    _axes(ax, tasks, names)
    matrix, ends = result.class_il.matrix[:done, :done].mul(100).tolist(), []
    style: dict[str, Any] = {"clip_on": False, "marker": "o"}
    for task in range(done):
        line = [row[task] for row in matrix[task:]]
        colour = to_hex(colormaps["viridis"](0.78 * task / max(1, tasks - 1)))
        lw, markersize = (1.3, 3.2) if named else (0.6, 0)
        ax.plot(range(task, done), line, color=colour, lw=lw, markersize=markersize, **style)
        ends += [(line[-1], label(task, names, 24), colour)] if named else []
    if done:
        seen = [100 * result.class_il.after(task) for task in range(done)]
        ax.plot(range(done), seen, color=INK, lw=3.2, markersize=5, zorder=4, **style)
        ends.append((seen[-1], "everything seen", INK))
    if chance := guessing(names)[:done]:
        style |= {"marker": "_", "linestyle": ":", "zorder": 1.7}
        ax.plot(range(len(chance)), chance, color=MUTED, lw=1.4, markersize=7, **style)
        ends.append((chance[-1], "chance", MUTED))
    _end_labels(ax, done - 1, sorted(ends, key=lambda end: end[0]), high)
    heading, below = _title(result, 8.8)
    left, unit = ax.get_xlim()[0], 104 / high
    _write(ax, left, 102 + 0.12 * unit, below, 9, color=MUTED)
    lift = (0.37 + 0.15 * below.count("\n")) * unit
    _write(ax, left, 102 + lift, heading, 12, weight="bold")
    _save(figure, path)


def _axes(ax: Axes, tasks: int, names: Sequence[list[str]]) -> None:
    """Percent upwards, tasks to the right; class names under the ticks while they fit."""
    ax.set(xlim=(-0.12 * max(1, tasks / 8), max(tasks - 1, 1)), ylim=(-2, 102))
    style: dict[str, Any] = {"size": 8, "parse_math": False, "usetex": False, "family": _families()}
    shown = range(0, tasks, -(-tasks // 20))
    words = [_drawable(_stacked(t, names) if tasks <= 6 else str(t + 1)) for t in shown]
    ax.set_xticks(shown, words, color=INK, **style)
    ax.set_yticks(range(0, 101, 20), [f"{v}" for v in range(0, 101, 20)], color=INK, **style)
    ax.set_xlabel("after learning task", color=MUTED, **style)
    ax.set_ylabel("Class-IL accuracy (%)", color=MUTED, **style)
    ax.grid(axis="y", color=EMPTY, linewidth=1)
    ax.tick_params(length=0)
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.spines["bottom"].set_color(MUTED)


def _end_labels(ax: Axes, x: int, ends: Sequence[tuple[float, str, str]], high: float) -> None:
    """The last value and name of each line at its end, moved apart so that none lies on another."""
    start, stop = ax.get_xlim()
    inch = (stop - start) / (0.66 * 9)
    places = spread([end[0] for end in ends], 104 * 0.16 / high, 100)
    for (value, name, colour), place in zip(ends, places, strict=True):
        leader = [x + 0.07 * inch, x + 0.24 * inch], [value, place]
        ax.plot(*leader, color=colour, lw=0.7, clip_on=False)
        dark = [0.6 * a + 0.4 * b for a, b in zip(to_rgb(colour), to_rgb(INK), strict=True)]
        style = {"weight": "bold" if colour == INK else "normal", "va": "center_baseline"}
        _write(ax, x + 0.28 * inch, place, f"{value:.1f} %  {name}", 8, color=dark, **style)


def spread(wanted: Sequence[float], gap: float, top: float) -> list[float]:
    """Ascending places at least ``gap`` apart, from 0 to ``top``, as near as can be to those wanted.

    With z_i = wanted_i - i gap this is the isotonic regression of z, by pooling neighbours.

    >>> spread([10.0, 11.0, 50.0], 5, 100)
    [8.0, 13.0, 50.0]
    """
    pools: list[tuple[float, int]] = []
    for place, value in enumerate(wanted):
        pools.append((value - place * gap, 1))
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            (a, m), (b, n) = pools.pop(), pools.pop()
            pools.append(((a * m + b * n) / (m + n), m + n))
    fitted = [mean for mean, count in pools for _ in range(count)]
    most = max(0.0, top - (len(wanted) - 1) * gap)
    return [min(max(z, 0.0), most) + place * gap for place, z in enumerate(fitted)]


def guessing(names: Sequence[list[str]]) -> list[float]:
    """Percent that guessing among the classes seen so far would reach, after each task.

    >>> guessing([["cat", "dog"], ["cat", "dog"], ["deer", "frog"]])
    [50.0, 50.0, 25.0]
    """
    seen = [
        len({name for classes in names[: t + 1] for name in classes}) for t in range(len(names))
    ]
    return [100 / count for count in seen if count]


def _title(result: Result, inches: float) -> tuple[str, str]:
    """What ran under which protocol and readout, and the final figures, wrapped to a width."""
    stream = f" on {result.data['stream']}" if "stream" in result.data else ""
    heading = f"{result.recipe}{stream}, protocol {result.protocol}, readout {result.readout}"
    done, tasks = finished(result.class_il), len(result.class_il.sizes)
    below = f"After {done} of {tasks} task{'s' * (tasks != 1)}"
    below += "" if result.status == "complete" else f" ({result.status})"
    if done:
        class_il, task_il = (percent(figures(a)[0]) for a in (result.class_il, result.task_il))
        below += f": Class-IL accuracy {class_il} %, Task-IL {task_il} %"
    heading, below = plain(heading), plain(f"{below}.")
    return textwrap.fill(heading, int(inches * 9.5)), textwrap.fill(below, int(inches * 13))


def _figure(width: float, height: float) -> Figure:
    """A figure of its own, in inches, that no other part of the program can see."""
    return FigureCanvasAgg(Figure((width, height), DPI, facecolor="white")).figure


def _write(ax: Axes, x: float, y: float, text: str, points: float, **style: Any) -> Text:
    """Text as it is: no formula is read into it, and a letter without a glyph becomes a box."""
    plainly = {"color": INK, "va": "bottom", "parse_math": False, "usetex": False}
    return ax.text(x, y, _drawable(text), size=points, family=_families(), **(plainly | style))


@functools.cache
def _families() -> list[str]:
    return [name for name in FONTS if name in font_manager.get_font_names()]


@functools.cache
def _drawable(text: str) -> str:
    fonts = [font_manager.get_font(font_manager.findfont(name)) for name in _families()]
    known = {c for c in text if c == "\n" or any(f.get_char_index(ord(c)) for f in fonts)}
    return "".join(c if c in known else "□" for c in text)


def _save(figure: Figure, path: str | Path) -> None:
    tight: dict[str, Any] = {"bbox_inches": "tight", "pad_inches": 0.2}
    figure.savefig(path, format="png", metadata={"Software": None}, **tight)
