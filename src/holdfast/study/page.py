"""What a study leaves in its folder: figures, a page, and a picture."""

from __future__ import annotations

from pathlib import Path

from holdfast.store.atomic import atomic_write
from holdfast.study.chart import effects_chart
from holdfast.study.engine import Answer
from holdfast.study.tables import as_json, markdown


def write(answer: Answer, out: Path, command: str) -> None:
    """Write study.json, study.md and study.svg.

    Args:
        answer: the study, carried out.
        out: its folder.
        command: that made it, for the page.
    """
    texts = {
        "study.json": as_json(answer),
        "study.md": markdown(answer, command),
        "study.svg": effects_chart(answer.analysis),
    }
    for name, text in texts.items():
        atomic_write(out / name, lambda to, text=text: to.write_text(text, "utf-8"))
