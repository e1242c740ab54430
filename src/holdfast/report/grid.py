"""A run in two pictures: the accuracy matrices, and what became of each task."""

from __future__ import annotations

import functools
import textwrap
from collections.abc import Sequence
from pathlib import Path

from matplotlib import colormaps, font_manager
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from holdfast.metrics.accuracy import Accuracy
from holdfast.report.table import figures, finished, label, percent, plain, so_far, task_names
from holdfast.result import Result

INK, MUTED, EMPTY = "#1f2529", "#6b757d", "#f1f3f4"
ACCENT = LinearSegmentedColormap.from_list("accent", ["#eaf1f5", "#8db6cb", "#1b5f80", "#0d3b52"])
FONTS = (
    "DejaVu Sans", "Noto Sans", "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans CJK KR", "Hiragino Sans",
    "PingFang SC", "Yu Gothic", "Microsoft YaHei", "Malgun Gothic", "WenQuanYi Micro Hei", "Arial Unicode MS",
)  # fmt: skip
DPI = 150


def matrix_picture(result: Result, path: str | Path) -> None:
    """Write a PNG of both accuracy matrices: rows after task i, columns on task j, all seen last."""
    names, tasks = task_names(result), len(result.class_il.sizes)
    cell = min(0.8, max(0.38, 7 / tasks))
    wide = (tasks + 1.3) * cell
    pitch = max(wide + 0.6, 3.6)
    figure = _figure(pitch + wide, tasks * cell)
    ax = figure.add_axes((0, 0, 1, 1), xlim=(0, pitch + wide), ylim=(tasks * cell, 0))
    ax.set_axis_off()
    _panel(ax, 0, cell, "Class-IL", result.class_il, names)
    _panel(ax, pitch, cell, "Task-IL", result.task_il, names)
    rows = [_write(ax, -0.1, -0.12, "after learning", 8.5, color=MUTED, ha="right")]
    for task in range(tasks):
        place = (-0.1, (task + 0.5) * cell)
        rows.append(
            _write(ax, *place, label(task, names, 30), 8.5, ha="right", va="center_baseline")
        )
    left = min(row.get_window_extent().x0 for row in rows) / DPI
    heading, below = _title(result, max(pitch + wide, pitch + 2.8) - left)
    _write(ax, left, -0.95, below, 9, color=MUTED)
    _write(ax, left, -1.2, heading, 12, weight="bold")
    _save(figure, path)


def _panel(
    ax: Axes, x: float, cell: float, title: str, accuracy: Accuracy, names: Sequence[list[str]]
) -> None:
    """One matrix with its upper left corner at (x, 0), in inches, its title and its columns' labels."""
    tasks = len(accuracy.sizes)
    for i, row in enumerate(accuracy.matrix.tolist()):
        for j, value in enumerate(row[: i + 1]):
            _cell(ax, x + j * cell, i * cell, cell, value)
        _cell(ax, x + (tasks + 0.3) * cell, i * cell, cell, accuracy.after(i), "bold")
    flat, low = tasks <= 6, tasks * cell + 0.1
    for task in range(tasks):
        words = label(task, names, 13 if flat else 22)
        words = words.replace(" ", "\n", 1) if flat else words
        style = {"ha": "center", "va": "top", "rotation": 0 if flat else 90}
        _write(ax, x + (task + 0.5) * cell, low, words, 7.5, **style)
    words = "all\nseen" if flat else "all seen"
    style["weight"] = "bold"
    _write(ax, x + (tasks + 0.8) * cell, low, words, 7.5, **style)
    final, average, forgetting, transfer = map(percent, figures(so_far(accuracy, _rows(accuracy))))
    _write(ax, x, -0.45, title, 11, weight="bold")
    _write(ax, x, -0.28, f"final {final}, average {average}", 8.5, color=MUTED)
    _write(ax, x, -0.12, f"forgetting {forgetting}, backward transfer {transfer}", 8.5, color=MUTED)


def _rows(accuracy: Accuracy) -> int:
    return int((~accuracy.matrix.diagonal().isnan()).sum())


def _cell(ax: Axes, x: float, y: float, size: float, value: float, weight: str = "normal") -> None:
    """One square with its percentage; pale and without one where the run has not come so far."""
    known, edge = value == value, size * 0.96
    colour = ACCENT(value) if known else EMPTY
    ax.add_patch(Rectangle((x, y), edge, edge, color=colour, linewidth=0))
    if known:
        digits, points = (1, 9) if size > 0.5 else (0, 7.5)
        style = {"color": "white" if value > 0.55 else INK, "ha": "center", "va": "center_baseline"}
        _write(
            ax, x + edge / 2, y + edge / 2, percent(value, digits), points, weight=weight, **style
        )


def retention_picture(result: Result, path: str | Path) -> None:
    """Write a PNG of every task's accuracy as later tasks arrive, of everything seen, and of chance."""
    names, tasks, done = task_names(result), len(result.class_il.sizes), finished(result)
    high = max(3.4, 0.165 * (done + 3))
    figure = _figure(9, high + 1)
    ax = figure.add_axes((0.07, 0.6 / (high + 1), 0.66, high / (high + 1)))
    _axes(ax, tasks, names)
    matrix = result.class_il.matrix[:done, :done].mul(100).tolist()
    ends = []
    for task in range(done):
        line = [row[task] for row in matrix[task:]]
        colour = colormaps["viridis"](0.82 * task / max(1, tasks - 1))
        ax.plot(range(task, done), line, color=colour, linewidth=1.3, marker="o", markersize=3.2)
        ends.append((line[-1], label(task, names, 24), colour))
    if done:
        seen = [100 * result.class_il.after(task) for task in range(done)]
        ax.plot(range(done), seen, color=INK, linewidth=3.2, marker="o", markersize=5, zorder=4)
        ends.append((seen[-1], "everything seen", INK))
    if chance := _chance(names)[: max(done, 1)]:
        style = {"linestyle": ":", "marker": "_", "markersize": 7, "zorder": 1}
        ax.plot(range(len(chance)), chance, color=MUTED, linewidth=1.4, **style)
        ends.append((chance[-1], "chance", MUTED))
    _end_labels(ax, max(done, 1) - 1, sorted(ends, key=lambda end: end[0]), high)
    heading, below = _title(result, 8.8)
    for lift, text, points, style in ((0.12, below, 9, MUTED), (0.37, heading, 12, INK)):
        y = 102 + lift / high * 104
        weight = "bold" if style == INK else "normal"
        _write(ax, ax.get_xlim()[0], y, text, points, color=style, weight=weight)
    _save(figure, path)


def _axes(ax: Axes, tasks: int, names: Sequence[list[str]]) -> None:
    """Percent upwards, tasks to the right; class names under the ticks while they fit."""
    ax.set(xlim=(-0.12 * max(1, tasks / 8), max(tasks - 1, 1)), ylim=(-2, 102))
    room = int(90 / tasks) - 3
    words = [label(t, names, room if tasks <= 6 else 2).replace(" ", "\n", 1) for t in range(tasks)]
    style = {"fontsize": 8, "color": INK, "parse_math": False, "fontfamily": _families()}
    ax.set_xticks(range(tasks), [_drawable(word) for word in words], **style)
    ax.set_yticks(range(0, 101, 20), [f"{value}" for value in range(0, 101, 20)], **style)
    style |= {"fontsize": 8.5, "color": MUTED}
    ax.set_xlabel("after learning task", **style)
    ax.set_ylabel("Class-IL accuracy (%)", **style)
    ax.grid(axis="y", color=EMPTY, linewidth=1)
    ax.tick_params(length=0)
    ax.set_axisbelow(True)
    for side in ("top", "right", "left"):
        ax.spines[side].set_visible(False)
    ax.spines["bottom"].set_color(MUTED)


def _end_labels(ax: Axes, x: int, ends: Sequence[tuple], high: float) -> None:
    """The name and last value of each line at its end, moved apart so that none lies on another."""
    start, stop = ax.get_xlim()
    inch = (stop - start) / (0.66 * 9)
    places = spread([end[0] for end in ends], 104 * 0.16 / high, 100)
    for (value, name, colour), place in zip(ends, places, strict=True):
        weight = "bold" if colour == INK else "normal"
        ax.plot(
            [x + 0.07 * inch, x + 0.24 * inch],
            [value, place],
            color=colour,
            linewidth=0.6,
            clip_on=False,
        )
        words = f"{value:.1f}  {name}"
        style = {"color": colour, "weight": weight, "va": "center_baseline"}
        _write(ax, x + 0.28 * inch, place, words, 8, **style)


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


def _chance(names: Sequence[list[str]]) -> list[float]:
    """Percent that guessing among the classes seen so far would reach, after each task."""
    seen: set[str] = set()
    levels = []
    for classes in names:
        seen |= set(classes)
        if not seen:
            break
        levels.append(100 / len(seen))
    return levels


def _title(result: Result, inches: float) -> tuple[str, str]:
    """What ran under which protocol and readout, and the final figures, wrapped to a width."""
    stream = f" on {result.data['stream']}" if "stream" in result.data else ""
    text = f"{result.recipe}{stream}, protocol {result.protocol}, readout {result.readout}"
    done, tasks = finished(result), len(result.class_il.sizes)
    finals = [percent(figures(so_far(a, done))[0]) for a in (result.class_il, result.task_il)]
    after = f"After {done} of {tasks} task{'s' * (tasks != 1)}"
    after += "" if result.status == "complete" else f" ({result.status})"
    below = f"{after}: Class-IL accuracy {finals[0]} %, Task-IL {finals[1]} %."
    return tuple(textwrap.fill(plain(t), int(inches * c)) for t, c in ((text, 9.5), (below, 13)))


def _figure(width: float, height: float) -> Figure:
    """A figure of its own, in inches, that no other part of the program can see."""
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def _write(ax: Axes, x: float, y: float, text: str, points: float, **style: object) -> Text:
    """Text as it is: no formula is read into it, and a letter without a glyph becomes a box."""
    plainly = {"color": INK, "va": "bottom", "parse_math": False, "usetex": False, "clip_on": False}
    return ax.text(
        x, y, _drawable(text), fontsize=points, fontfamily=_families(), **(plainly | style)
    )


@functools.cache
def _families() -> list[str]:
    return [name for name in FONTS if name in font_manager.get_font_names()]


@functools.cache
def _drawable(text: str) -> str:
    fonts = [font_manager.get_font(font_manager.findfont(name)) for name in _families()]
    known = {c for c in set(text) for font in fonts if font.get_char_index(ord(c))}
    return "".join(c if c in known or c == "\n" else "□" for c in text)


def _save(figure: Figure, path: str | Path) -> None:
    style = {"bbox_inches": "tight", "pad_inches": 0.2, "metadata": {"Software": None}}
    figure.savefig(path, format="png", **style)
