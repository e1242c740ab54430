"""Finding: one claim, what was measured, and whether it holds; and how findings are shown."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text


@dataclass(frozen=True)
class Finding:
    """A claim and its measurement.

    Attributes:
        about: the statement that it belongs to.
        claim: in words.
        measured: the figure.
        expected: what it must be, in words.
        holds: whether it is.
    """

    about: str
    claim: str
    measured: float
    expected: str
    holds: bool


def near(about: str, claim: str, measured: float, target: float, within: float) -> Finding:
    """A finding that must be a number, but for ``within``."""
    expected = f"{target:g} ± {within:g}"
    return Finding(about, claim, measured, expected, abs(measured - target) <= within)


def below(about: str, claim: str, measured: float, bound: float) -> Finding:
    """A finding that must be 0, but for rounding."""
    return Finding(about, claim, measured, f"0 (< {bound:g})", 0 <= measured < bound)


def above(about: str, claim: str, measured: float, bound: float) -> Finding:
    """A finding that must not be 0."""
    return Finding(about, claim, measured, f"not 0 (> {bound:g})", measured > bound)


def shown(title: str, findings: Sequence[Finding]) -> Group:
    """The findings in a terminal, under their statements, with a verdict each."""
    parts: list[RenderableType] = [Text(title, style="bold cyan")]
    for about, group in groupby(findings, key=lambda f: f.about):
        table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
        table.add_column(width=5)
        table.add_column(ratio=1, overflow="fold")
        table.add_column(justify="right", no_wrap=True)
        table.add_column(style="dim", no_wrap=True)
        for finding in group:
            verdict = Text("holds", "green") if finding.holds else Text("FAILS", "bold red")
            table.add_row(
                verdict, Text(finding.claim), Text(f"{finding.measured:.4g}"), finding.expected
            )
        parts += [Text(), Text(about, style="bold"), table]
    holding = sum(finding.holds for finding in findings)
    return Group(*parts, Text(), Text(f"{holding} of {len(findings)} findings hold", style="bold"))


def save(findings: Sequence[Finding], path: Path) -> None:
    """Write them as JSON."""
    path.write_text(json.dumps([asdict(f) for f in findings], indent=2, ensure_ascii=False) + "\n")
