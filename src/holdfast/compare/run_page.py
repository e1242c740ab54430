"""One run on the page of a comparison: its matrices, its losses, and where its figures come from."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from holdfast.compare.cell import Cell
from holdfast.compare.charts import Line, lines_chart
from holdfast.compare.diagnosed import diagnosis_panel
from holdfast.compare.figures import Variant, Weighting, figures_of
from holdfast.compare.shown import NONE, amount, number
from holdfast.report.markup import more, pairs, safe, table
from holdfast.report.svg import figure, write

POINTS = 200  # of a line, at most
PARTS = 6  # of a loss that are drawn
BESIDE = ("task", "epoch", "lr", "images_per_second", "seconds")
LONGEST = 5_000_000  # bytes of a log that are read


def run_panel(cell: Cell, name: str, weighting: Weighting, forgetting: Variant) -> str:
    """A run as HTML."""
    values = figures_of(cell, weighting, forgetting)
    facts = {
        "Class-IL, %": number(100 * values["final"]),
        "Task-IL, %": number(100 * values["task_il"]),
        "average, %": number(100 * values["average"]),
        f"forgetting ({forgetting}), %": number(100 * values["forgetting"]),
        "stored": f"{amount(values['bytes'])}, {values['images']:,.0f} images; past network "
        f"{amount(values['past_bytes'])}",
        "seconds": number(cell.seconds),
        "folder": str(cell.path),
    }
    drawn = [
        captioned(
            matrix_chart(matrix, cell.sizes, kind),
            f"{kind}: rows after learning a task, columns the accuracy on a task, %",
        )
        for matrix, kind in ((cell.class_il, "Class-IL"), (cell.task_il, "Task-IL"))
    ]
    return (
        f"<h3>{safe(name)}</h3>{pairs(facts)}<div class=plots>{''.join([*drawn, *learning(cell)])}</div>"
        + diagnosis_panel(cell)
        + more("Accuracies as a table", _numbers(cell))
        + more("Configuration and provenance", _provenance(cell.data))
    )


def captioned(drawn: str, words: str) -> str:
    """A chart with its sentence; nothing for no chart."""
    if not drawn:
        return ""
    scrolled = f'<div class="wide" tabindex="0">{drawn}</div>'
    return f"<figure>{scrolled}<figcaption>{safe(words)}</figcaption></figure>"


def matrix_chart(
    matrix: Float[np.ndarray, "t t"], sizes: Float[np.ndarray, " t"], kind: str
) -> str:
    """An accuracy matrix as shades with its numbers, and what was right of all seen at the right."""
    T = len(matrix)
    cell = 34 if T <= 12 else 400 / T
    parts = []
    for i in range(T):
        seen = float((matrix[i, : i + 1] * sizes[: i + 1]).sum() / sizes[: i + 1].sum())
        row = [*((j * cell, float(matrix[i, j])) for j in range(i + 1)), ((T + 0.4) * cell, seen)]
        parts.append(write(24, 26 + (i + 0.65) * cell, f"{i + 1}", "end"))
        for x, value in row:
            side = f'width="{cell - 2:.1f}" height="{cell - 2:.1f}"'
            place = f'x="{30 + x:.1f}" y="{24 + i * cell:.1f}" {side}'
            words = safe(f"{100 * value:.1f} after task {i + 1}")
            parts.append(
                f'<rect {place} class="shade" fill-opacity="{0.06 + 0.94 * value:.2f}">'
                f"<title>{words}</title></rect>"
            )
            if T <= 12:
                shade = " mid" * (0.62 < value <= 0.9) + " full" * (value > 0.9)
                middle = 30 + x + cell / 2 - 1, 24 + (i + 0.5) * cell + 3
                parts.append(write(*middle, f"{100 * value:.0f}", f"cellnum{shade}"))
    heads = [
        write(30 + (j + 0.5) * cell - 1, 17, f"{j + 1}", "middle") for j in range(T) if T <= 25
    ]
    heads.append(write(30 + (T + 0.9) * cell - 1, 17, "all", "middle"))
    last = f"{100 * float((matrix[-1] * sizes).sum() / sizes.sum()):.1f}"
    label = f"{kind} accuracy matrix of {T} tasks; {last} % of all after the last"
    return figure(34 + (T + 1.5) * cell, 28 + T * cell, label, [*heads, *parts], "matrix")


def learning(cell: Cell) -> Iterator[str]:
    """The parts of the loss and the learning rate, epoch by epoch, where the run's log is at hand."""
    log = list(_log(cell))
    if not log:
        return
    step = -(-len(log) // POINTS)
    picked = log[::step]
    x = [1 + k * step for k in range(len(picked))]
    names = list(dict.fromkeys(name for line in picked for name in line if name not in BESIDE))
    names.sort(key=lambda name: name != "loss")
    lines = [_logarithms(_line(name, x, picked)) for name in names[:PARTS]]
    lines = [line for line in lines if line.y]
    label = f"Loss over {len(log)} epochs of all tasks"
    starts = sum(a.get("task") != b.get("task") for a, b in itertools.pairwise(log)) + 1
    drawn = lines_chart(
        lines, f"epoch, over {starts} tasks", "loss and its parts, logarithmic", label, log=True
    )
    yield captioned(drawn, "The loss and its parts, each epoch's mean")
    drawn = lines_chart(
        [_line("lr", x, picked)], "epoch", "learning rate", "Learning rate by epoch"
    )
    yield captioned(drawn, "The learning rate at the end of each epoch")


def _line(name: str, x: Sequence[int], log: Sequence[Mapping[str, Any]]) -> Line:
    points = [(k, float(line[name])) for k, line in zip(x, log) if _is_number(line.get(name))]
    return Line(name, [k for k, _ in points], [v for _, v in points])


def _logarithms(line: Line) -> Line:
    """A line to the base of 10, without what is not above 0."""
    points = [(x, math.log10(y)) for x, y in zip(line.x, line.y) if y > 0]
    return Line(line.name, [x for x, _ in points], [y for _, y in points])


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


def _log(cell: Cell) -> Iterator[Mapping[str, Any]]:
    """The lines of a run's log; what is no line of one is left out."""
    file = cell.path / "log.jsonl"
    try:
        if file.stat().st_size > LONGEST:
            return
        lines = file.read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return
    for line in lines:
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(entry, dict):
            yield entry


def _numbers(cell: Cell) -> str:
    heads = ["after task", *(f"on {j + 1}" for j in range(len(cell.sizes)))]
    rows = [
        [str(i + 1), *(number(100 * v) if v == v else "" for v in row)]
        for i, row in enumerate(cell.class_il.tolist())
    ]
    return table("Class-IL accuracy, %", heads, rows)


def _provenance(data: Mapping[str, Any]) -> str:
    """Where the figures come from: data, settings, versions."""
    environment = data.get("environment", {})
    versions, tuning = environment.get("versions", {}), data["config"].get("tuning")
    facts = {
        "data": f"{data['data'].get('stream', NONE)}, content {data['data'].get('content', NONE)}",
        "preset": str(data["config"].get("preset", NONE)),
        "tuned": f"{tuning.get('trials')} trials: {tuning.get('protocol')}"
        if tuning
        else "nothing says",
        "commit": str(environment.get("git_commit") or NONE),
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
        "machine": f"{environment.get('machine', NONE)}, {environment.get('threads', NONE)} threads",
    }
    text = json.dumps(data["config"], indent=1, default=str)
    return pairs(facts) + f"<pre tabindex=0>{safe_lines(text)}</pre>"


def safe_lines(text: str) -> str:
    """A text of several lines as HTML."""
    return "\n".join(safe(line) for line in text.splitlines())
