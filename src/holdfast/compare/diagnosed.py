"""Diagnostics on the page of a comparison: the figures of a run task by task, and its embedding."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import suppress

from holdfast.compare.cell import Cell
from holdfast.compare.comparison import Table
from holdfast.compare.diagnosis import After, Diagnosis, read_diagnosis
from holdfast.compare.embedding import embedding_chart
from holdfast.compare.shown import NONE
from holdfast.core.errors import StoreError
from holdfast.report.markup import more, percent, safe, table

WAYS = {"up": "more", "down": "less"}


def diagnosis_panel(cell: Cell) -> str:
    """The diagnostics of a run as HTML; a sentence where they cannot be read, nothing where none are."""
    try:
        seen = read_diagnosis(cell.path)
    except StoreError as error:
        return f'<h4>Diagnostics</h4><p class="note">{safe(error)}</p>'
    if seen is None or not seen.tasks:
        return ""
    names = [str(name) for name in cell.data["data"].get("classes", ())]
    words = f"Of {seen.rows:,} watched rows" + f" ({seen.source})" * bool(seen.source)
    took = f"; measuring took {short_number(seen.seconds)} s" if math.isfinite(seen.seconds) else ""
    return "".join(
        [
            f"<h4>Diagnostics</h4><p>{safe(words + took)}.</p>",
            *_verdicts(seen),
            '<div class="diagnosed">',
            *_steps(seen, names),
            f"<div>{_figures(seen)}{''.join(_undefined(seen))}</div></div>",
        ]
    )


def _verdicts(seen: Diagnosis) -> Iterator[str]:
    """What stood out, task by task."""
    lines = [f"After task {one.task + 1}: {words}" for one in seen.tasks for words in one.verdicts]
    if lines:
        yield f'<ul class="plain">{"".join(f"<li>{safe(line)}</li>" for line in lines)}</ul>'


def _steps(seen: Diagnosis, names: Sequence[str]) -> Iterator[str]:
    """The embedding after each task, one at a time, chosen by a slider."""
    drawn = [one for one in seen.tasks if one.embedding is not None]
    if not drawn:
        return
    last = len(drawn) - 1
    slider = (
        f'<label class="slide">Embedding after task <output>{drawn[-1].task + 1}</output> '
        f'<input type="range" min="0" max="{last}" value="{last}" step="1" '
        f'aria-valuetext="task {drawn[-1].task + 1}"></label>'
    )
    pictures = "".join(_step(one, names, k == last) for k, one in enumerate(drawn))
    yield f'<div class="steps">{slider * bool(last)}{pictures}</div>'


def _step(one: After, names: Sequence[str], open_: bool) -> str:
    assert one.embedding is not None
    chart = embedding_chart(one.embedding, names, one.task)
    share = one.embedding.explained
    plane = f"; the plane shows {percent(share)} % of the variance" if math.isfinite(share) else ""
    words = f"Watched rows by class after task {one.task + 1}; diamonds are prototypes{plane}."
    return (
        f'<figure class="step" data-task="{one.task + 1}"{"" if open_ else " hidden"}>{chart}'
        f"<figcaption>{safe(words)}</figcaption></figure>"
    )


def _figures(seen: Diagnosis) -> str:
    """A row a figure, a column a task."""
    heads = ["figure", *(f"after {one.task + 1}" for one in seen.tasks), "course", "better"]
    rows = []
    for name in seen.names:
        values = [one.figures.get(name, math.nan) for one in seen.tasks]
        if any(map(math.isfinite, values)):
            cells = [safe(short_number(value)) for value in values]
            rows.append([_title(seen, name), *cells, course(values), _better(seen, name)])
    return table("Diagnostics after each task", heads, rows)


def _undefined(seen: Diagnosis) -> Iterator[str]:
    """Why figures are missing, each reason once."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for one in seen.tasks:
        for name, why in one.reasons.items():
            reasons.setdefault((seen.title(name), why), []).append(str(one.task + 1))
    lines = [f"{title}, after {', '.join(tasks)}: {why}" for (title, why), tasks in reasons.items()]
    if lines:
        listed = "".join(f"<li>{safe(line)}</li>" for line in lines)
        yield more("What is not defined, and why", f'<ul class="plain">{listed}</ul>')


def course(values: Sequence[float]) -> str:
    """The course of a figure over the tasks as a small line; nothing for fewer than two values.

    >>> course([1.0]), 'points="3.0,14.0 57.0,4.0"' in course([1.0, 2.0])
    ('', True)
    """
    known = [(k, value) for k, value in enumerate(values) if math.isfinite(value)]
    if len(known) < 2:
        return ""
    low, high = min(v for _, v in known), max(v for _, v in known)
    x = lambda k: 3 + 54 * k / (len(values) - 1)
    y = lambda v: 14 - 10 * (v - low) / (high - low or 1.0)
    points = " ".join(f"{x(k):.1f},{y(v):.1f}" for k, v in known)
    end = f'<circle cx="{x(known[-1][0]):.1f}" cy="{y(known[-1][1]):.1f}" r="2.5" class="dot"/>'
    return (
        '<svg viewBox="0 0 60 18" width="60" height="18" class="course" aria-hidden="true">'
        f'<polyline points="{points}" class="series s0"/>{end}</svg>'
    )


def by_method(one: Table) -> str:
    """A table of diagnostics, folded away: a row a figure, a column a method, the mean over its runs."""
    runs: dict[str, list[Diagnosis]] = {}
    for row in one.rows:
        for cell in row.lane.cells.values():
            with suppress(StoreError):  # the run's panel says so
                seen = read_diagnosis(cell.path)
                if seen is not None and seen.tasks:
                    runs.setdefault(row.name, []).append(seen)
    every = [seen for some in runs.values() for seen in some]
    rows = []
    for name in dict.fromkeys(n for seen in every for n in seen.names):
        means = [_last(some, name) for some in runs.values()]
        if any(map(math.isfinite, means)):
            first = next(seen for seen in every if name in seen.names)
            rows.append([_title(first, name), *map(short_number, means), _better(first, name)])
    if not rows:
        return ""
    heads = ["figure", *(f"{method} ({len(some)})" for method, some in runs.items()), "better"]
    caption = "After the last task; in brackets, how many runs the mean is over"
    return more("Diagnostics by method", table(caption, heads, rows))


def _last(some: Sequence[Diagnosis], name: str) -> float:
    """The mean over runs of a figure after the last task, where it is defined."""
    values = [seen.tasks[-1].figures.get(name, math.nan) for seen in some]
    known = [value for value in values if math.isfinite(value)]
    return sum(known) / len(known) if known else math.nan


def _title(seen: Diagnosis, name: str) -> str:
    """A figure with the section of the theory that has its formula, as HTML."""
    section = seen.explain.get(name, {}).get("section")
    return safe(seen.title(name)) + (
        f' <span class="soft">({safe(section)})</span>' if section else ""
    )


def _better(seen: Diagnosis, name: str) -> str:
    return WAYS.get(str(seen.explain.get(name, {}).get("better")), "")


def short_number(value: float) -> str:
    """A number of any size with three digits, and a dash for none.

    >>> short_number(0.12345), short_number(-1234.5), short_number(float("nan")), short_number(0.00001)
    ('0.123', '−1,234', '–', '1e-05')
    """
    if not math.isfinite(value):
        return NONE
    size = abs(value)
    text = f"{value:,.0f}" if 1000 <= size < 1e7 else f"{value:.3g}"
    return text.replace("-", "\u2212") if "e" not in text else text
