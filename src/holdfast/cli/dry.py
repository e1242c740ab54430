"""``holdfast run --dry``: what a run will need, and nothing learned."""

from __future__ import annotations

from rich.console import Console

from holdfast.cli.terminal import shown
from holdfast.core.text import json_text
from holdfast.report.progress import rough
from holdfast.report.table import size
from holdfast.train.needs import Forecast, forecast
from holdfast.train.runner import Run


def tell_needs(work: Run, console: Console, opening: str, as_json: bool) -> int:
    """Try a few steps, and say what all will need; the exit code."""
    needs = forecast(work)
    if as_json:
        print(json_text(needs.to_dict(), indent=2))  # noqa: T201
        return 0
    console.print(shown(opening), soft_wrap=True)
    for line in _lines(needs):
        console.print(line, soft_wrap=True)
    return 0


def _lines(needs: Forecast) -> list[str]:
    total = sum(needs.steps)
    how = f"{needs.first_step * 1000:,.0f} ms a step in the first task"
    if needs.later_step:
        how += f", {needs.later_step * 1000:,.0f} ms in the later ones"
    lines = [
        f"time    about {rough(needs.seconds)}: {total:,} steps, {how}, and what ends the tasks",
        f"memory  {size(needs.memory)} at the peak of a few steps, data included",
        f"disk    {size(needs.disk)} for weights and checkpoint",
    ]
    if needs.pixels:
        lines[-1] += f", {size(needs.pixels)} of decoded images"
    return [*lines, "Nothing was learned, and no folder was made."]
