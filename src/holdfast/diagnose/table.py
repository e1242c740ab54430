"""A diagnosis in the terminal: what is worth reading in a minute, or all of it."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from holdfast.diagnose.catalogue import GROUPS, Figure
from holdfast.diagnose.report import Diagnosis, TaskDiagnosis

COLUMNS = 6  # tasks that are shown; of more, the first and the last ones
MARK = "*"


def shown(diagnosis: Diagnosis, every: bool = False, title: str = "") -> Group:
    """The figures as a table with a column a task, the verdicts of the last task, and what is missing.

    Args:
        diagnosis: what was seen.
        every: all figures, and the reason of each that is missing.
        title: of the run.
    """
    tasks = list(diagnosis.tasks)
    parts: list[RenderableType] = [Text(title, style="bold cyan")] if title else []
    parts += [_table(_columns(tasks), every), Text()]
    parts += [Text(f"- {verdict}") for verdict in tasks[-1].verdicts]
    parts += _missing(tasks[-1], every)
    about = diagnosis.watched
    note = f"{MARK} looks at {about.get('source', 'old images')}."
    if len(tasks) > COLUMNS:
        note += f" Of {len(tasks)} tasks {COLUMNS} are shown: diagnostics.json has all."
    parts.append(Text(note, style="dim"))
    return Group(*parts)


def _columns(tasks: Sequence[TaskDiagnosis]) -> list[TaskDiagnosis]:
    return list(tasks) if len(tasks) <= COLUMNS else [tasks[0], *tasks[1 - COLUMNS :]]


def _table(tasks: Sequence[TaskDiagnosis], every: bool) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    table.add_column("after task")
    for task in tasks:
        table.add_column(str(task.task + 1), justify="right")
    table.add_column("better", style="dim")
    for group, figures in GROUPS.items():
        rows = {name: f for name, f in figures.items() if every or f.main}
        if not rows:
            continue
        table.add_row(Text(group, style="bold"))
        for name, figure in rows.items():
            better = {"up": "more", "down": "less"}.get(figure.better, "")
            cells = [cell(task.figures.get(name), figure) for task in tasks]
            mark = MARK if figure.old_images else ""
            table.add_row(Text(f"  {figure.title}{mark}"), *cells, better)
    return table


def cell(value: float | None, figure: Figure) -> str:
    """A number in a few characters: shares in percent, large and small ones by their power of ten.

    Args:
        value: the number.
        figure: what it is.

    >>> share, plain = Figure("", "share", "up", ""), Figure("", "", "up", "")
    >>> cell(0.123, share), cell(0.123, plain), cell(12345.0, plain), cell(None, plain)
    ('12.3%', '0.123', '1.2e+04', '-')
    """
    if value is None:
        return "-"
    if figure.unit == "share":
        return f"{100 * value:.1f}%"
    if value and (abs(value) >= 1e4 or abs(value) < 1e-3):
        return f"{value:.1e}"
    digits = max(0, 3 - len(str(int(abs(value))))) if abs(value) >= 1 else 3
    return f"{value:.{digits}f}"


def _missing(task: TaskDiagnosis, every: bool) -> list[RenderableType]:
    """Why figures of the last task are missing: by reason, or in a count."""
    names = {
        name: f.title for group in GROUPS.values() for name, f in group.items() if every or f.main
    }
    reasons: dict[str, list[str]] = {}
    for name, reason in task.reasons.items():
        if name in names:
            reasons.setdefault(reason, []).append(names[name])
    return [
        Text(f"no figure: {'; '.join(titles)}: {reason}.", style="dim")
        for reason, titles in reasons.items()
    ]
