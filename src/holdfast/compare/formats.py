"""A comparison for a terminal, as CSV, Markdown, LaTeX or JSON."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table as Grid
from rich.text import Text

from holdfast.compare import shown
from holdfast.compare.comparison import Comparison, Row, Table
from holdfast.compare.contrast import Contrast
from holdfast.compare.figures import FIGURES
from holdfast.core.text import json_text, printable

STACKED = {
    "sign-flip p": "sign-\nflip p",
    "when learned": "when\nlearned",
    "right task": "right\ntask",
    "right class in it": "class\nin it",
    "calibration error": "ECE",
    "average by classes": "average\nby class",
    "intransigence": "intran-\nsigence",
    "adaptive error": "adaptive\nECE",
    "error, old": "ECE\nold",
    "error, new": "ECE\nnew",
    "FPR at 95 known": "FPR at\nknown 95",
    "FPR at 95 unknown": "FPR at\nunknown 95",
}


def terminal(comparison: Comparison) -> Group:
    """Two tables for every set of runs that may be compared: differences, and all other figures."""
    parts: list[RenderableType] = []
    for table in comparison.tables:
        parts += [Text(printable(shown.title(table)), "bold cyan"), Text()]
        rows = [shown.line(row) for row in table.rows]
        parts += [_grid(shown.heads(comparison), rows), Text()]
        if extra := _named(table):
            parts += [_grid(["contrast", *shown.heads(comparison)[3:]], extra), Text()]
        for group in (shown.FURTHER, shown.TRUST, shown.COSTS):
            if names := shown.known(table, group):
                rows = [shown.further(row, names) for row in table.rows]
                parts += [_grid(shown.further_heads(names), rows), Text()]
        parts += [Text(printable(words), "dim") for words in shown.legend(comparison, table)]
        parts.append(Text())
    parts += [Text(printable(note), "yellow") for note in comparison.notes]
    return Group(*parts)


def _grid(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Grid:
    table = Grid(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    for i, head in enumerate(heads):
        words = i == 0 or head == "verdict"
        least = (
            min(16, max([len(row[i]) for row in rows], default=1))
            if i == 0
            else 8
            if words
            else None
        )
        table.add_column(
            STACKED.get(head, head.replace(", ", "\n")), justify="left" if words else "right",
            overflow="fold", no_wrap=not words, min_width=least, vertical="top",
        )  # fmt: skip
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    return table


def _named(table: Table) -> list[list[str]]:
    """The contrasts that are not to the baseline."""
    return [
        [
            f"{c.a} − {c.b}", shown.difference(c), shown.chance(c.p_holm), shown.chance(c.flip_holm),
            shown.number(c.estimate.detectable), c.verdict,
        ]
        for c in table.contrasts
        if c.b != table.baseline
    ]  # fmt: skip


def markdown(comparison: Comparison) -> str:
    """Tables and sentences in Markdown."""
    escape = lambda text: printable(text).replace("|", "\\|")
    lines = []
    for table in comparison.tables:
        lines += [f"**{escape(shown.title(table))}**", ""]
        for heads, rows in _both(comparison, table):
            lines.append("| " + " | ".join(map(escape, heads)) + " |")
            lines.append("|---|" + "---:|" * (len(heads) - 1))
            lines += ["| " + " | ".join(map(escape, row)) + " |" for row in rows] + [""]
        lines += [*map(escape, shown.legend(comparison, table)), ""]
    return "\n".join([*lines, *map(escape, comparison.notes)]).rstrip() + "\n"


def latex(comparison: Comparison) -> str:
    """Tables with booktabs' rules, and sentences, in LaTeX."""
    lines = []
    for table in comparison.tables:
        lines.append(f"% {printable(shown.title(table))}")
        for heads, rows in _both(comparison, table):
            lines.append(r"\begin{tabular}{l" + "r" * (len(heads) - 1) + "}")
            lines += [r"\toprule", " & ".join(map(_tex, heads)) + r" \\", r"\midrule"]
            lines += [" & ".join(map(_tex, row)) + r" \\" for row in rows]
            lines += [r"\bottomrule", r"\end{tabular}", ""]
        lines += [f"% {printable(words)}" for words in shown.legend(comparison, table)]
    return (
        "\n".join([*lines, *(f"% {printable(note)}" for note in comparison.notes)]).rstrip() + "\n"
    )


def _tex(text: str) -> str:
    r"""A text in which nothing is a command of TeX.

    >>> _tex("a_b & 5 % ± −1")
    'a\\_b \\& 5 \\% $\\pm$ $-$1'
    """
    escapes = {c: f"\\{c}" for c in "&%$#_{}"} | {
        "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
        "±": r"$\pm$", "−": "$-$", "–": "--", "<": "$<$",
    }  # fmt: skip
    return "".join(escapes.get(c, c) for c in printable(text))


def _both(comparison: Comparison, table: Table) -> list[tuple[list[str], list[list[str]]]]:
    """Heads and rows of the tables of one set of runs."""
    output = [(shown.heads(comparison), [shown.line(row) for row in table.rows])]
    if extra := _named(table):
        output.append((["contrast", *shown.heads(comparison)[3:]], extra))
    for group in ((*shown.FURTHER, *shown.COSTS), shown.TRUST):
        if names := shown.known(table, group):
            rows = [shown.further(row, names) for row in table.rows]
            output.append((shown.further_heads(names), rows))
    return output


def as_csv(comparison: Comparison) -> str:
    """A line a method, with every figure as a plain number."""
    lines = [_flat(comparison, table, row) for table in comparison.tables for row in table.rows]
    output = io.StringIO()
    writer = csv.DictWriter(
        output, list(dict.fromkeys(n for line in lines for n in line)), lineterminator="\n"
    )
    writer.writeheader()
    writer.writerows({n: _plain(v) for n, v in line.items()} for line in lines)
    return output.getvalue()


def _plain(value: Any) -> Any:
    """What a spreadsheet reads as a value, and never as a formula."""
    if isinstance(value, float):
        return "" if not math.isfinite(value) else f"{value:.6g}"
    text = "" if value is None else printable(value)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text


def _flat(comparison: Comparison, table: Table, row: Row) -> dict[str, Any]:
    estimate, contrast = row.estimate, row.contrast
    named = {"n": estimate.n, "mean": estimate.mean, "half_width": estimate.half_width()}
    data = {"method": row.name, **table.place, "metric": comparison.metric, **named}
    data |= {"weighting": comparison.weighting, "forgetting_variant": comparison.forgetting}
    data |= {"baseline": table.baseline, **(_contrast(contrast) if contrast else {})}
    return data | dict(row.figures) | {"tuning_trials": row.trials}


def _contrast(contrast: Contrast) -> dict[str, Any]:
    estimate = contrast.estimate
    return {
        "difference": estimate.mean,
        "difference_half_width": estimate.half_width(),
        "difference_blocks": estimate.n,
        "p": estimate.p,
        "p_holm": contrast.p_holm,
        "sign_flip_p": contrast.p_flip,
        "sign_flip_p_holm": contrast.flip_holm,
        "sign_flip_exact": contrast.exact,
        "sign_flip_floor": contrast.floor,
        "detectable": estimate.detectable,
        "margin": contrast.margin,
        "verdict": contrast.verdict,
    }


def as_json(comparison: Comparison) -> str:
    """Everything, also the figures of each block."""
    figure = FIGURES[comparison.metric]
    tables = [
        {
            "place": dict(table.place),
            "baseline": table.baseline,
            "rows": [
                _flat(comparison, table, row) | {"blocks": _blocks(row)} for row in table.rows
            ],
            "contrasts": [
                {"a": c.a, "b": c.b, **_contrast(c)}
                | {"components": asdict(c.parts) if c.parts else None}
                for c in table.contrasts
            ],
            "legend": shown.legend(comparison, table),
        }
        for table in comparison.tables
    ]
    data = {"metric": comparison.metric, "unit": figure.unit, "tables": tables}
    data |= {"mixed_model": asdict(comparison.mixed) if comparison.mixed else None}
    return json_text(_finite(data | {"notes": list(comparison.notes)}), indent=2) + "\n"


def _blocks(row: Row) -> list[dict[str, Any]]:
    return [
        {"seed": cell.seed, "order": cell.order_name, "folder": str(cell.path)}
        for cell in row.lane.cells.values()
    ]


def _finite(data: Any) -> Any:
    if isinstance(data, dict):
        return {name: _finite(value) for name, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [_finite(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data


FORMATS: dict[str, Callable[[Comparison], str]] = {
    "csv": as_csv,
    "markdown": markdown,
    "latex": latex,
    "json": as_json,
}
