"""``holdfast study NAME``."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from rich.console import Console

from holdfast.errors import unknown
from holdfast.study import STUDIES, shown


def study(arguments: list[str], console: Console) -> int:
    """Run a study, and print what it found; 1 if a finding does not hold."""
    reader = argparse.ArgumentParser("holdfast study", allow_abbrev=False)
    reader.add_argument("name", help=f"one of: {', '.join(STUDIES)}")
    reader.add_argument("--out", type=Path, help="a folder for its figures and its picture")
    reader.add_argument("--seed", type=int, default=0, help="of weights and labels")
    try:
        given = reader.parse_args(arguments)
    except SystemExit as stop:  # argparse has said why
        return int(stop.code or 0)
    if given.name not in STUDIES:
        raise unknown("study", given.name, STUDIES)
    started = time.perf_counter()
    findings = STUDIES[given.name](given.out, given.seed)
    console.print(shown(given.name, findings))
    console.print(f"{time.perf_counter() - started:.1f} s", style="dim")
    if given.out is not None:
        console.print(f"folder: {given.out}", markup=False)
    return 0 if all(finding.holds for finding in findings) else 1
