"""A study as tables: for a terminal, in Markdown, and as JSON."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from holdfast.compare.paired import Estimate
from holdfast.compare.shown import NONE, chance, difference, number, with_interval
from holdfast.core.text import json_text, printable
from holdfast.study.analysis import Analysis, ArmRow, Measured
from holdfast.study.engine import Answer
from holdfast.study.outcomes import OUTCOMES, PRIMARY
from holdfast.study.words import paragraph

Rows = list[list[str]]


def arm_table(analysis: Analysis) -> tuple[list[str], Rows]:
    """Every arm: its blocks, its accuracy, the paired difference to the reference, further outcomes."""
    study = analysis.study
    heads = ["arm", "n", "Class-IL, %", f"against '{study.reference}'"]
    heads += [OUTCOMES[name].title for name in study.outcomes]
    heads += ["gradient"] * bool(analysis.gradients)
    return heads, [_arm(row, analysis) for row in analysis.rows]


def _arm(row: ArmRow, analysis: Analysis) -> list[str]:
    mean = row.means[PRIMARY]
    against = "reference" if row.name == analysis.study.reference else NONE
    if row.difference is not None:
        against = with_interval(row.difference.mean, row.difference.half_width(), sign=True)
    cells = [row.name, f"{mean.n}", with_interval(mean.mean, mean.half_width()), against]
    cells += [number(row.means[n].mean, OUTCOMES[n].digits) for n in analysis.study.outcomes]
    if analysis.gradients:
        cells.append(number(analysis.gradients.get(row.name, math.nan), 3))
    return cells


def effect_table(analysis: Analysis) -> tuple[list[str], Rows]:
    """Every effect: its size with an interval, p, what could not be seen, and what may be said."""
    heads = ["effect", "n", "points", "p", "sign-flip p", "visible", "verdict"]
    return heads, [_effect(one) for one in analysis.effects]


def _effect(one: Measured) -> list[str]:
    contrast = one.contrast
    if contrast is None:
        return [one.effect.name, "0", NONE, NONE, NONE, NONE, one.verdict]
    p = contrast.p_holm if one.effect.asked else contrast.estimate.p
    flip = contrast.flip_holm if one.effect.asked else contrast.p_flip
    seen = number(contrast.estimate.detectable)
    name, n = one.effect.name, f"{contrast.estimate.n}"
    return [name, n, difference(contrast), chance(p), chance(flip), seen, one.verdict]


def other_table(analysis: Analysis) -> tuple[list[str], Rows]:
    """Every effect on the secondary outcomes, as intervals."""
    names = [n for n in analysis.study.outcomes if any(n in m.others for m in analysis.effects)]
    rows = []
    for one in analysis.effects:
        cells = [_interval(one.others.get(n), OUTCOMES[n].digits) for n in names]
        rows.append([one.effect.name, *cells])
    return ["effect on", *(OUTCOMES[n].title for n in names)], rows


def _interval(estimate: Estimate | None, digits: int) -> str:
    if estimate is None:
        return NONE
    half = estimate.half_width()
    mean = number(estimate.mean, digits, sign=True)
    return f"{mean} ± {number(half, digits)}" if math.isfinite(half) else mean


LEGEND = (
    "± is the 95 % t interval over blocks (pairs of seed and order), of differences within a block. p is "
    "Holm's over the contrasts named beforehand; 'visible': a smaller true difference would be missed "
    "more than one time in five at 5 %, asked alone. Secondary outcomes are estimated, not tested."
)


def terminal(answer: Answer) -> Group:
    """Tables, and what they say."""
    analysis = answer.analysis
    parts: list[RenderableType] = [Text(analysis.study.question, "bold cyan"), Text()]
    heads, rows = arm_table(analysis)
    parts += _pieces(heads, rows, [range(1, 4), *_fours(4, len(heads))])
    parts += [_grid(*effect_table(analysis)), Text()]
    heads, rows = other_table(analysis)
    parts += _pieces(heads, rows, _fours(1, len(heads)))
    parts += [Text(" ".join(paragraph(analysis, answer.size))), Text(), Text(LEGEND, "dim")]
    return Group(*parts)


def _fours(start: int, end: int) -> list[range]:
    """Columns, four at a time."""
    return [range(k, min(k + 4, end)) for k in range(start, end, 4)]


def _pieces(heads: list[str], rows: Rows, pieces: Sequence[range]) -> list[RenderableType]:
    """Tables of some columns each, all with the names."""
    parts: list[RenderableType] = []
    for piece in pieces:
        columns = (0, *piece)
        picked = [[row[i] for i in columns] for row in rows]
        parts += [_grid([heads[i] for i in columns], picked), Text()]
    return parts


def _grid(heads: list[str], rows: Rows) -> Table:
    """A table whose numbers stay whole and whose names may be cut into lines."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    longest = max((len(row[0]) for row in rows), default=1)
    for i, head in enumerate(heads):
        words = i == 0 or head == "verdict"
        table.add_column(
            head if words else textwrap.fill(head, 12), justify="left" if words else "right",
            overflow="fold", no_wrap=not words, min_width=min(longest, 20) if i == 0 else None,
            vertical="top",
        )  # fmt: skip
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    return table


def markdown(answer: Answer, command: str, picture: str = "study.svg") -> str:
    """A page: the question, the paragraph, the picture, the tables, and the command that made it."""
    analysis = answer.analysis
    lines = [f"# {answer.asked}", "", f"*{analysis.study.question}*", ""]
    lines += ["\n\n".join(paragraph(analysis, answer.size)), "", f"![effects]({picture})", ""]
    for heads, rows in (effect_table(analysis), arm_table(analysis), other_table(analysis)):
        escape = lambda text: printable(text).replace("|", "\\|")
        lines.append("| " + " | ".join(map(escape, heads)) + " |")
        lines.append("|---|" + "---:|" * (len(heads) - 1))
        lines += ["| " + " | ".join(map(escape, row)) + " |" for row in rows] + [""]
    lines += [LEGEND, "", f"Made by `{printable(command)}`.", ""]
    return "\n".join(lines)


def as_json(answer: Answer) -> str:
    """All figures, also of each block."""
    return json_text(finite(as_data(answer)), indent=2) + "\n"


def as_data(answer: Answer) -> dict[str, Any]:
    """The same as plain data."""
    analysis = answer.analysis
    return {
        "study": answer.asked,
        "size": asdict(answer.size),
        "paragraph": paragraph(analysis, answer.size),
        "reference": analysis.study.reference,
        "arms": [_arm_data(row, analysis) for row in analysis.rows],
        "effects": [_effect_data(one) for one in analysis.effects],
        "gradients": dict(analysis.gradients),
        "failed": [{"run": n, "arm": a, "error": e} for n, a, e in analysis.failed],
    }


def _arm_data(row: ArmRow, analysis: Analysis) -> dict[str, Any]:
    (arm,) = [arm for arm in analysis.study.arms if arm.name == row.name]
    blocks = [
        {"seed": seed, "order": order, **figures}
        for (seed, order), figures in analysis.values[row.name].items()
    ]
    means = {name: _estimate(mean) for name, mean in row.means.items()}
    return {"name": row.name, "recipe": arm.text, "means": means, "blocks": blocks}


def _effect_data(one: Measured) -> dict[str, Any]:
    data: dict[str, Any] = {"name": one.effect.name, "weights": dict(one.effect.weights)}
    data |= {"asked": one.effect.asked, "verdict": one.verdict}
    data["others"] = {name: _estimate(value) for name, value in one.others.items()}
    if (c := one.contrast) is not None:
        data |= _estimate(c.estimate) | {"detectable": c.estimate.detectable, "p": c.estimate.p}
        data |= {"p_holm": c.p_holm, "sign_flip_p": c.p_flip, "sign_flip_p_holm": c.flip_holm}
    return data


def _estimate(value: Estimate) -> dict[str, Any]:
    return {"n": value.n, "mean": value.mean, "half_width": value.half_width()}


def finite(data: Any) -> Any:
    """The same with None for what is no number."""
    if isinstance(data, dict):
        return {name: finite(value) for name, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [finite(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data
