"""``holdfast study NAME``: an experiment that says what it found."""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from holdfast.cli.grid import Shown, settings_of
from holdfast.cli.interrupt import Stopped
from holdfast.cli.operate import say
from holdfast.cli.terminal import shown as plainly
from holdfast.compare.sweep import FAILED
from holdfast.core.errors import ConfigError, unknown
from holdfast.core.grammar import head
from holdfast.core.text import printable
from holdfast.study import DESIGNS, STUDIES, build_study, shown
from holdfast.study.engine import GRID, Answer, carry_out
from holdfast.study.page import write
from holdfast.study.sizes import SIZES, Size, find_size
from holdfast.study.tables import as_data, finite, terminal

OF_RUNS = (
    "size",
    "blocks",
    "data",
    "set",
    "workers",
    "threads",
    "quiet",
)  # flags of studies of runs


def study_command(arguments: list[str], console: Console) -> int:
    """Run a study, and print what it found; 1 if a finding does not hold or a run failed."""
    try:
        options = _reader().parse_args(arguments)
    except SystemExit as stop:  # argparse has said why
        return int(stop.code or 0)
    name, rest = head(options.name)
    if name in STUDIES and not rest:
        return _findings(options, console)
    if name not in DESIGNS:
        raise unknown("study", name, [*STUDIES, *DESIGNS])
    return _runs(options, console)


def _reader() -> argparse.ArgumentParser:
    reader = argparse.ArgumentParser("holdfast study", allow_abbrev=False)
    names = ", ".join([*STUDIES, *DESIGNS])
    reader.add_argument(
        "name", help=f"one of: {names}; perhaps with settings, as ablation:half=yes"
    )
    reader.add_argument("--out", type=Path, help="a folder for figures, page and picture")
    reader.add_argument("--seed", type=int, help="of a study of statements")
    reader.add_argument("--json", action="store_true", help="a JSON object instead of tables")
    sizes = "; ".join(f"{size.name}: {size.words}" for size in SIZES.values())
    reader.add_argument("--size", choices=list(SIZES), help=f"of a study of runs. {sizes}")
    reader.add_argument(
        "--blocks", type=int, help="pairs of seed and order; 10 or more for a claim"
    )
    reader.add_argument("--data", help="path of the data, where the size does not bring them")
    reader.add_argument(
        "--set",
        action="append",
        metavar="NAME=VALUE",
        help="a setting of all runs, as epochs=3; repeat",
    )
    reader.add_argument("--workers", type=int, help="processes at a time, 1 by default")
    reader.add_argument("--threads", type=int, help="of each, 1 by default")
    reader.add_argument("--quiet", action="store_true", default=None, help="no progress")
    return reader


def _findings(options: argparse.Namespace, console: Console) -> int:
    """A study whose statements hold or do not."""
    strange = [f"--{name}" for name in OF_RUNS if getattr(options, name) is not None]
    if strange:
        raise ConfigError(f"the study {options.name} has no runs: leave {', '.join(strange)} out.")
    started = time.perf_counter()
    findings = STUDIES[options.name](options.out, options.seed or 0)
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


def _runs(options: argparse.Namespace, console: Console) -> int:
    """A study that compares runs."""
    if options.seed is not None:
        raise ConfigError(
            "a study of runs has the seeds 0, 1, 2 ...: say how many with --blocks, not --seed."
        )
    base = find_size(options.size or "quick")
    if base.name == "desk" and not options.data:
        raise ConfigError("the size desk needs CIFAR-10: say where it is with --data PATH.")
    size = base.of(options.blocks or 0, options.data or "", _settings(options.set or ()))
    study = build_study(options.name, size)
    out = options.out or Path("studies") / f"{study.name}-{size.name}"
    with Shown(console, bool(options.quiet or options.json)) as watch:
        try:
            answer = carry_out(
                study, size, out, options.name, options.workers or 1, options.threads or 1, watch
            )
        except KeyboardInterrupt as stop:
            text = "stopped; the same command goes on where it was."
            raise Stopped(text, getattr(stop, "by", 2)) from None
    write(answer, out, _command(options, size))
    _say(answer, out, bool(options.json), console)
    return 1 if answer.analysis.failed else 0


def _command(options: argparse.Namespace, size: Size) -> str:
    """What makes the same figures, on any machine: without folders, and with the number of blocks."""
    words = ["holdfast", "study", options.name, "--size", size.name, "--blocks", f"{size.blocks}"]
    words += ["--data", "PATH"] * bool(options.data)
    return " ".join([*words, *(f"--set {text}" for text in options.set or ())])


def _settings(texts: tuple[str, ...] | list[str]) -> dict[str, Any]:
    """One value each (ConfigError for several)."""
    settings = settings_of(tuple(texts))
    for name, values in settings.items():
        if len(values) > 1 or "." in name:
            raise ConfigError(
                f"--set {name} is one value of a setting that all arms share, as epochs=3."
            )
    return {name: values[0] for name, values in settings.items()}


def _say(answer: Answer, out: Path, as_json: bool, console: Console) -> None:
    if as_json:
        say(finite(as_data(answer)) | {"folder": str(out)}, [], True, console)
        return
    console.print(terminal(answer))
    for name, arm, error in answer.analysis.failed:
        file = out / GRID / FAILED / f"{name}.txt"
        text = f"failed: {arm}: {error} (traceback: {file})"
        console.print(plainly(text, "red"), soft_wrap=True)
    console.print(plainly(f"folder: {out}"), soft_wrap=True)
