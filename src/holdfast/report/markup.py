"""Pieces of HTML in which every text is escaped, so that no name can be markup."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence

from holdfast.core.text import printable
from holdfast.report.release_data import Count
from holdfast.report.wilson import wilson

NONE = "–"


def safe(text: object) -> str:
    r"""A text as HTML: markup escaped, and control characters shown.

    >>> safe('<b>"x"'), safe("a\x1b\u202e")
    ('&lt;b&gt;&quot;x&quot;', 'a\\x1b\\u202e')
    """
    return html.escape(printable(text), quote=True)


def percent(share: float, digits: int = 1) -> str:
    """A share in percent, without its sign; a dash for a number that is none.

    >>> percent(0.1234), percent(float("nan"))
    ('12.3', '–')
    """
    return f"{100 * share:.{digits}f}" if math.isfinite(share) else NONE


def ratio(count: Count | None) -> float:
    """The share of a count; nan for none."""
    return count[0] / count[1] if count and count[1] else math.nan


def interval(count: Count | None) -> str:
    """The interval of Wilson of a count, in percent.

    >>> interval((8, 10)), interval(None)
    ('49 to 94', '')
    """
    if not count or not count[1]:
        return ""
    low, high = wilson(*count)
    return f"{percent(low, 0)} to {percent(high, 0)}"


def change(before: Count | None, after: Count | None) -> str:
    """What became of a share, in points, with its sign; empty where there is nothing to compare.

    >>> change((5, 10), (7, 10)), change(None, (1, 2))
    ('+20.0', '')
    """
    points = 100 * (ratio(after) - ratio(before))
    return f"{points:+.1f}".replace("-", "\u2212") if math.isfinite(points) else ""


def table(
    caption: str, heads: Sequence[str], rows: Sequence[Sequence[str]], numbers: int = 1
) -> str:
    """A table of texts that are HTML already; the columns from ``numbers`` on are aligned as numbers.

    Args:
        caption: text.
        heads: texts.
        rows: HTML, whose first cell names the row.
        numbers: the first column of numbers.
    """
    head = "".join(
        f'<th scope="col"{_side(i, numbers)}>{safe(name)}</th>' for i, name in enumerate(heads)
    )
    body = "".join(
        "<tr>"
        + f'<th scope="row">{row[0]}</th>'
        + "".join(f"<td{_side(i, numbers)}>{cell}</td>" for i, cell in enumerate(row[1:], 1))
        + "</tr>"
        for row in rows
    )
    return (
        f'<div class="wide" tabindex="0"><table><caption>{safe(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _side(column: int, numbers: int) -> str:
    return ' class="n"' if column >= numbers else ""


def pairs(entries: Mapping[str, str]) -> str:
    """Names and values as a list."""
    lines = (f"<dt>{safe(name)}</dt><dd>{safe(value)}</dd>" for name, value in entries.items())
    return f"<dl>{''.join(lines)}</dl>"


def more(summary: str, content: str) -> str:
    """Content that is folded away."""
    return f"<details><summary>{safe(summary)}</summary>{content}</details>"
