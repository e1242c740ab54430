"""A run in two pictures: the accuracy matrices, and what became of each task."""

from __future__ import annotations

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
from holdfast.report.table import figures, finished, label, percent, so_far, task_names
from holdfast.result import Result

INK, MUTED, EMPTY = "#1f2529", "#6b757d", "#f1f3f4"
ACCENT = LinearSegmentedColormap.from_list("accent", ["#eaf1f5", "#8db6cb", "#1b5f80", "#0d3b52"])
FONTS = (
    "DejaVu Sans", "Noto Sans", "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans CJK KR", "Hiragino Sans",
    "PingFang SC", "Yu Gothic", "Microsoft YaHei", "Malgun Gothic", "WenQuanYi Micro Hei", "Arial Unicode MS",
)  # fmt: skip
NEEDED = 7.0  # inches that a title may take at least


def matrix_picture(result: Result, path: str | Path) -> None:
    """Write a PNG of both accuracy matrices: rows after task i, columns on task j, 'all' at the end."""
    names, tasks, done = task_names(result), len(result.class_il.sizes), finished(result)
    cell = min(0.8, max(0.37, 7 / tasks))
    width, pitch = (tasks + 1.3) * cell, max((tasks + 1.3) * cell + 0.6, 3.6)
    figure, ax = _canvas(pitch + width, tasks * cell)
    for place, (name, accuracy) in enumerate(_accuracies(result).items()):
        _panel(ax, place * pitch, cell, accuracy, names)
        known = so_far(accuracy, done)
        _write(ax, place * pitch, -0.42, name, 11, weight="bold", va="bottom")
        _write(ax, place * pitch, -0.12, _said(known), 8.5, color=MUTED, va="bottom")
    rows = [label(task, names, 30) for task in range(tasks)]
    for task, row in enumerate(rows):
        _write(ax, -0.1, (task + 0.5) * cell, row, 8.5, ha="right", va="center_baseline")
    left = -0.1 - max(_inches(row, 8.5) for row in rows)
    _write(ax, -0.1, -0.12, "after learning task", 8.5, color=MUTED, ha="right", va="bottom")
    left = min(left, -0.1 - _inches("after learning task", 8.5))
    _title(ax, result, left, -0.85, max(NEEDED, pitch + width - left))
    _save(figure, path)


def _panel(ax: Axes, x: float, cell: float, accuracy: Accuracy, names: Sequence[list[str]]) -> None:
    """One matrix with its upper left corner at (x, 0), in inches, and its column labels below."""
    tasks = len(accuracy.sizes)
    for i, row in enumerate(accuracy.matrix.tolist()):
        for j, value in enumerate(row[: i + 1]):
            _cell(ax, x + j * cell, i * cell, cell, value)
        _cell(ax, x + (tasks + 0.3) * cell, i * cell, cell, accuracy.after(i), "bold")
    upright = tasks <= 6
    for task in range(tasks):
        if upright:
            room = int(cell * 72 / (0.56 * 7.5))
            words = label(task, names, room + 2).split(" ", 1)
            style = {"ha": "center", "va": "top", "linespacing": 1.3}
            _write(ax, x + (task + 0.5) * cell, tasks * cell + 0.08, "\n".join(words), 7.5, **style)
        else:
            style = {"ha": "center", "va": "top", "rotation": 90}
            words = label(task, names, 22)
            _write(ax, x + (task + 0.5) * cell, tasks * cell + 0.08, words, 7.5, **style)
    below = (x + (tasks + 0.8) * cell, tasks * cell + 0.08)
    _write(ax, *below, "all\nseen", 7.5, ha="center", va="top", weight="bold", linespacing=1.3)


def _cell(ax: Axes, x: float, y: float, size: float, value: float, weight: str = "normal") -> None:
    """One square with its percentage; pale and empty when the run has not come so far."""
    known, gap = value == value, 0.03 * size
    colour = ACCENT(value) if known else EMPTY
    ax.add_patch(Rectangle((x + gap, y + gap), size - 2 * gap, size - 2 * gap, color=colour, linewidth=0))
    if known:
        digits, points = (1, 9) if size > 0.5 else (0, 7.5)
        ink = "white" if value > 0.55 else INK
        style = {"ha": "center", "va": "center_baseline", "weight": weight}
        _write(ax, x + size / 2, y + size / 2, percent(value, digits), points, color=ink, **style)


def retention_picture(result: Result, path: str | Path) -> None:
    """Write a PNG of every task's accuracy as later tasks arrive, of all seen, and of chance."""
    names, tasks, done = task_names(result), len(result.class_il.sizes), finished(result)
    height = max(4.2, 0.2 * (done + 3))
    figure = Figure(figsize=(9, height), dpi=150, facecolor="white")
    FigureCanvasAgg(figure)
    ax = figure.add_axes((0.08, 0.12, 0.64, 0.85))
    _axes(ax, tasks, names)
    matrix, ends = result.class_il.matrix[:done, :done].mul(100).tolist(), []
    colours = [colormaps["viridis"](0.82 * task / max(1, tasks - 1)) for task in range(tasks)]
    for task in range(done):
        line = [row[task] for row in matrix[task:]]
        ax.plot(range(task, done), line, color=colours[task], linewidth=1.3, marker="o", markersize=3.2)
        ends.append((line[-1], label(task, names, 24), colours[task], "normal"))
    if done:
        seen = [100 * result.class_il.after(task) for task in range(done)]
        ax.plot(range(done), seen, color=INK, linewidth=3.2, marker="o", markersize=5, zorder=4)
        ends.append((seen[-1], "everything seen", INK, "bold"))
    if chance := _chance(names):
        ax.plot(range(tasks), chance, color=MUTED, linewidth=1.4, linestyle=":", zorder=1)
        known = chance[max(done, 1) - 1]
        ends.append((known, f"chance {known:.0f}" if known >= 1 else "chance", MUTED, "normal"))
    _end_labels(ax, max(done, 1) - 1, ends, 100 * 0.165 / (0.85 * height))
    _title(ax, result, 0, 1, 8.5, retention=True)
    _save(figure, path)


def _axes(ax: Axes, tasks: int, names: Sequence[list[str]]) -> None:
    """Percent upwards, tasks to the right; class names under the ticks while they fit."""
    ax.set_xlim(-0.15, max(tasks - 1, 0.6) + 0.02)
    ax.set_ylim(-2, 102)
    room = int(0.64 * 9 * 72 / max(tasks, 2) / (0.6 * 8))
    words = [label(t, names, room if tasks <= 6 else 2).replace(" ", "\n", 1) for t in range(tasks)]
    style = {"parse_math": False, "usetex": False, "fontsize": 8, "color": INK, "fontfamily": _families()}
    ax.set_xticks(range(tasks), [_drawable(word) for word in words], **style)
    ax.set_yticks(range(0, 101, 20), [f"{value}" for value in range(0, 101, 20)], **style)
    ax.set_xlabel("after learning task", fontsize=8.5, color=MUTED, parse_math=False)
    ax.set_ylabel("Class-IL accuracy (%)", fontsize=8.5, color=MUTED, parse_math=False)
    ax.grid(axis="y", color=EMPTY, linewidth=1)
    ax.tick_params(length=0)
    ax.set_axisbelow(True)
    for side in ("top", "right", "left"):
        ax.spines[side].set_visible(False)
    ax.spines["bottom"].set_color(MUTED)
