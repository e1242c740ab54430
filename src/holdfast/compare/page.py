"""The page of a comparison: one file that opens offline, with every figure's provenance."""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from importlib import resources
from string import Template

import numpy as np

from holdfast.compare import shown
from holdfast.compare.charts import Line, Mark, cost_chart, forest_chart, lines_chart, pareto
from holdfast.compare.comparison import Comparison, Row, Table
from holdfast.compare.contrast import over_blocks
from holdfast.compare.diagnosed import by_method
from holdfast.compare.figures import FIGURES, figures_of
from holdfast.compare.groups import Lane
from holdfast.compare.run_page import captioned, run_panel
from holdfast.report.markup import more, safe, table

MOST = 300  # runs whose own panels are on a page


def page_of(comparison: Comparison, heading: str = "Comparison") -> str:
    """A self-contained page of HTML: its script is its own, nothing is fetched, every name is escaped.

    Args:
        comparison: what is shown.
        heading: of the page.
    """
    text = resources.files("holdfast.compare").joinpath("page.html").read_text("utf-8")
    script = text.partition("<script>")[2].partition("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    runs = sum(len(row.lane.cells) for t in comparison.tables for row in t.rows)
    methods = {row.name for t in comparison.tables for row in t.rows}
    parts = [
        f"<header><h1>{safe(heading)}</h1><p>{runs:,} runs of {len(methods):,} methods</p></header>",
        *(f'<p class="note">{safe(note)}</p>' for note in comparison.notes),
        *(part for t in comparison.tables for part in _section(comparison, t)),
        *_runs(comparison),
    ]
    values = {
        "title": safe(heading),
        "content": "\n".join(parts),
        "digest": digest,
    }
    before, _, after = text.partition(f"<script>{script}</script>")
    filled = [Template(part).substitute(values) for part in (before, after)]
    return f"<script>{script}</script>".join(filled)


def _section(comparison: Comparison, one: Table) -> Iterator[str]:
    """One set of runs that may be compared."""
    yield f"<section><h2>{safe(shown.title(one))}</h2>"
    names = shown.known(one, shown.COSTS)
    rows = [[*_cells(row), *_further(row, names)[1:]] for row in one.rows]
    heads = [*shown.heads(comparison), *shown.further_heads(names)[1:]]
    yield sortable("Methods, the best first; click a head to sort", heads, rows)
    for words, group in (
        ("Further accuracies, and the expected calibration error", shown.FURTHER),
        ("How far probabilities can be believed, and whether the unknown is told", shown.TRUST),
    ):
        if names := shown.known(one, group):
            rows = [_further(row, names) for row in one.rows]
            yield sortable(words, shown.further_heads(names), rows)
    yield by_method(one)
    words = "".join(f"<li>{safe(line)}</li>" for line in shown.legend(comparison, one))
    yield f'<ul class="plain legend">{words}</ul>'
    named = [c for c in one.contrasts if c.b != one.baseline]
    if named:
        lines = [[safe(f"{c.a} − {c.b}"), safe(shown.difference(c)), safe(shown.chance(c.p_holm)),
                  safe(shown.chance(c.flip_holm)), safe(c.verdict)] for c in named]  # fmt: skip
        heads = ["contrast", "difference", "p", "sign-flip p", "verdict"]
        yield table("Contrasts that were named", heads, lines)
    yield f'<div class="plots">{"".join(_charts(comparison, one))}</div></section>'


def _cells(row: Row) -> list[tuple[str, float | str]]:
    """The cells of a method: what is shown, and by what it is sorted."""
    contrast, estimate = row.contrast, row.estimate
    p = contrast.p_holm if contrast else math.nan
    values: list[float | str] = [
        row.name, estimate.n, estimate.mean, contrast.estimate.mean if contrast else 0.0, p,
        contrast.flip_holm if contrast else math.nan,
        contrast.estimate.detectable if contrast else math.nan, contrast.verdict if contrast else "",
    ]  # fmt: skip
    return list(zip(shown.line(row), values, strict=True))


def _further(row: Row, names: Sequence[str]) -> list[tuple[str, float | str]]:
    """The cells of a method in a table of further figures."""
    values = [row.name, *(row.figures[name] for name in names)]
    return list(zip(shown.further(row, names), values, strict=True))


def sortable(
    caption: str, heads: Sequence[str], rows: Sequence[Sequence[tuple[str, float | str]]]
) -> str:
    """A table whose heads are buttons; a cell is its text and the value by which it is sorted."""
    head = "".join(
        f'<th scope="col"{_side(i, name)}><button type="button">{safe(name)}</button></th>'
        for i, name in enumerate(heads)
    )
    body = "".join(
        "<tr>" + "".join(_cell(i, heads[i], *cell) for i, cell in enumerate(row)) + "</tr>"
        for row in rows
    )
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{safe(caption)}"><table class="sort">'
        f"<caption>{safe(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _side(column: int, head: str) -> str:
    return "" if column == 0 or head == "verdict" else ' class="n"'


def _cell(column: int, head: str, text: str, value: float | str) -> str:
    known = not isinstance(value, float) or math.isfinite(value)
    mark = f' data-v="{safe(value if isinstance(value, str) else f"{value:.9g}")}"' if known else ""
    if column == 0:
        return f'<th scope="row"{mark}>{safe(text)}</th>'
    shade = f' data-verdict="{safe(text.split(" ")[0])}"' if head == "verdict" else ""
    return f"<td{_side(column, head)}{mark}{shade}>{safe(text)}</td>"


def _charts(comparison: Comparison, one: Table) -> Iterator[str]:
    figure = FIGURES[comparison.metric]
    unit = figure.unit.replace("%", "points")
    differences = [
        (row.name, e.mean, e.half_width(), e.detectable)
        for row in one.rows
        if row.contrast is not None and (e := row.contrast.estimate)
    ]
    words = f"{figure.title}, paired difference to {one.baseline}"
    drawn = forest_chart(differences, unit, words)
    yield captioned(
        drawn,
        f"{words}, with 95 % intervals. Grey: a true difference that these runs would not show.",
    )
    forgotten = [(r.name, *_mean_of(r.lane, comparison, "forgetting"), math.nan) for r in one.rows]
    words = f"Forgetting ({comparison.forgetting}), points"
    yield captioned(
        forest_chart(forgotten, "points of accuracy lost", words).replace("difference, ", ""),
        f"{words}; 95 % intervals over blocks.",
    )
    lines = [_over_tasks(row, comparison) for row in one.rows]
    words = "Class-IL accuracy over all classes seen, after each task"
    yield captioned(
        lines_chart(lines, "after task", "right of all seen, %", words, 100.0),
        f"{words}; bands are 95 % intervals.",
    )
    for name, below, cost in _COSTS:
        yield captioned(
            cost_chart(
                _marks(one, comparison, cost), below, f"{figure.title}, {figure.unit}", name
            ),
            f"{name}: filled ones, joined by the line, are those that nothing beats at as little.",
        )


_COSTS: Sequence[tuple[str, str, Callable[[Row], float]]] = (
    (
        "Accuracy against what is stored", "bytes of images, statistics and past network",
        lambda row: row.figures["bytes"] + row.figures["past_bytes"],
    ),
    ("Accuracy against time", "seconds of learning", lambda row: row.figures["seconds"]),
)  # fmt: skip


def _over_tasks(row: Row, comparison: Comparison) -> Line:
    """The accuracy over what was seen after each task, with its interval."""
    cells = row.lane.cells
    count = min(len(cell.sizes) for cell in cells.values())
    means, halves = [], []
    for task in range(count):
        values = {
            block: 100 * _seen(cell.class_il[task], cell.sizes, task, comparison.weighting)
            for block, cell in cells.items()
        }
        estimate, _ = over_blocks(values)
        means.append(estimate.mean)
        halves.append(estimate.half_width())
    return Line(row.name, list(range(1, count + 1)), means, halves)


def _seen(row: np.ndarray, sizes: np.ndarray, task: int, weighting: str) -> float:
    weights = sizes[: task + 1] if weighting == "mean_images" else np.ones(task + 1)
    return float((row[: task + 1] * weights).sum() / weights.sum())


def _mean_of(lane: Lane, comparison: Comparison, name: str) -> tuple[float, float]:
    values = {
        block: 100 * figures_of(cell, comparison.weighting, comparison.forgetting)[name]
        for block, cell in lane.cells.items()
    }
    estimate, _ = over_blocks(values)
    return estimate.mean, estimate.half_width()


def _marks(one: Table, comparison: Comparison, cost: Callable[[Row], float]) -> list[Mark]:
    better = FIGURES[comparison.metric].better
    front = pareto([(cost(row), better * row.estimate.mean) for row in one.rows])
    return [
        Mark(row.name, cost(row), row.estimate.mean, row.estimate.half_width(), best)
        for row, best in zip(one.rows, front)
    ]


def _runs(comparison: Comparison) -> Iterator[str]:
    """Every run on its own, chosen from a list."""
    every = [
        (f"{row.name}, seed {cell.seed}, order {cell.order_name}", cell)
        for one in comparison.tables
        for row in one.rows
        for cell in row.lane.cells.values()
    ]
    if not every:
        return
    options = "".join(
        f'<option value="{k}">{safe(n)}</option>' for k, (n, _) in enumerate(every[:MOST])
    )
    yield "<section><h2>Any run</h2>"
    if len(every) > MOST:
        yield f"<p>The first {MOST} of {len(every):,} runs; compare fewer to see the others.</p>"
    yield f'<p><label for="run">Run</label> <select id="run">{options}</select></p><div id="stage">'
    view = comparison.weighting, comparison.forgetting
    yield f"{run_panel(every[0][1], every[0][0], *view)}</div>"
    for k, (name, cell) in enumerate(every[:MOST]):
        yield f'<template id="run-{k}">{run_panel(cell, name, *view)}</template>'
    yield "</section>"
    yield more("How these figures were made", _how(comparison))


def _how(comparison: Comparison) -> str:
    folders = [
        str(c.path) for t in comparison.tables for r in t.rows for c in r.lane.cells.values()
    ]
    listed = "".join(f"<li>{safe(folder)}</li>" for folder in folders)
    return f"<p>Read from the result.json of these folders:</p><ul class=plain>{listed}</ul>"
