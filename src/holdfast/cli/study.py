"""``holdfast study NAME``."""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from holdfast.cli.operate import say
from holdfast.core.errors import unknown
from holdfast.core.text import printable
from holdfast.study import STUDIES, shown


def study_command(arguments: list[str], console: Console) -> int:
    """Run a study, and print what it found; 1 if a finding does not hold."""
    reader = argparse.ArgumentParser("holdfast study", allow_abbrev=False)
    reader.add_argument("name", help=f"one of: {', '.join(STUDIES)}")
    reader.add_argument("--out", type=Path, help="a folder for its figures and its picture")
    reader.add_argument("--seed", type=int, default=0, help="of weights and labels")
    reader.add_argument("--json", action="store_true", help="a JSON object instead of a table")
    try:
        options = reader.parse_args(arguments)
    except SystemExit as stop:  # argparse has said why
        return int(stop.code or 0)
    if options.name not in STUDIES:
        raise unknown("study", options.name, STUDIES)
    started = time.perf_counter()
    findings = STUDIES[options.name](options.out, options.seed)
    holds = all(finding.holds for finding in findings)
    if options.json:
        listed = [
            asdict(finding) | {"holds": bool(finding.holds), "measured": float(finding.measured)}
            for finding in findings
        ]
        data = {"study": options.name, "holds": holds, "findings": listed}
        say(data | {"seconds": time.perf_counter() - started}, [], True, console)
        return 0 if holds else 1
    console.print(shown(options.name, findings))
    console.print(f"{time.perf_counter() - started:.1f} s", style="dim")
    if options.out is not None:
        console.print(f"folder: {printable(options.out)}", markup=False)
    return 0 if holds else 1
