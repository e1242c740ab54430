"""A study carried out: gradients matched where asked, a grid, its figures, and what they say."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from holdfast.compare.plan import Grid, Job
from holdfast.compare.sweep import RUNS, Sweep, is_complete, run_grid
from holdfast.compare.work import Outcome
from holdfast.core.errors import ConfigError
from holdfast.recipes.catalogue import full_parameters
from holdfast.recipes.presets import find_preset
from holdfast.store.atomic import atomic_write
from holdfast.store.folder import make_folder
from holdfast.study.analysis import Analysis, Block, analyse
from holdfast.study.design import Arm, Place, Study
from holdfast.study.outcomes import measured
from holdfast.study.probe import gradient
from holdfast.study.sizes import Size

GRID, MATCHED, DESIGN = "grid", "matched.json", "design.json"
PROBED = 3  # blocks over which gradients are matched
Watch = Callable[[Sweep, Job, Outcome | None], object]


@dataclass(frozen=True)
class Answer:
    """A study that was carried out.

    Attributes:
        analysis: what its runs say.
        size: data and settings.
        asked: the study as it was named, with its settings.
        sweep: how its grid ended.
    """

    analysis: Analysis
    size: Size
    asked: str
    sweep: Sweep


def carry_out(
    study: Study,
    size: Size,
    out: Path,
    asked: str = "",
    workers: int = 1,
    threads: int = 1,
    watch: Watch = lambda sweep, job, outcome: None,
) -> Answer:
    """Run what is missing of a study in a folder, and say what its runs say.

    Called again it goes on where it was stopped, and asked for more blocks it runs those alone.

    Args:
        study: what is asked.
        size: data and settings, of `find_size`.
        out: the folder; its runs are below ``grid/``.
        asked: the study as it was named, with its settings; its name by default.
        workers: processes at a time.
        threads: of each.
        watch: as of `run_grid`.

    Raises:
        ConfigError: for a folder of another study, or anything that cannot run.
    """
    asked = asked or study.name
    make_folder(out, exist_ok=True)
    _claim(out, asked, size)
    arms, gradients = _matched(study, size, out / MATCHED)
    sweep = run_grid(grid_of(arms, size), out / GRID, workers, threads, watch)
    jobs = jobs_by_arm(arms, sweep.jobs)
    folder = out / GRID / RUNS
    values: dict[str, dict[Block, dict[str, float]]] = {}
    for name, mine in jobs.items():
        for job in (job for job in mine if is_complete(folder / job.name)):
            cell, figures = measured(job, folder / job.name, study.outcomes)
            values.setdefault(name, {})[cell.block] = figures
    arm_of = {job.name: name for name, mine in jobs.items() for job in mine}
    failed = [(outcome.name, arm_of[outcome.name], outcome.error) for outcome in sweep.failed]
    analysis = analyse(study, values, gradients=gradients, failed=failed)
    return Answer(analysis, size, asked, sweep)


def _claim(out: Path, asked: str, size: Size) -> None:
    """Refuse a folder of another study (ConfigError); else write whose it is. Blocks may grow."""
    mark = {"study": asked} | {
        k: v for k, v in asdict(size).items() if k not in ("blocks", "words")
    }
    file = out / DESIGN
    if file.exists():
        there = json.loads(file.read_text())
        differing = [name for name in mark if there.get(name) != mark[name]]
        if differing:
            name = differing[0]
            raise ConfigError(
                f"{out} holds a study with {name} {there.get(name)}, not {mark[name]}: choose another "
                "--out."
            )
    elif any(out.iterdir()):
        raise ConfigError(f"{out} holds no study: choose a folder that is empty or not there.")
    atomic_write(file, lambda to: to.write_text(json.dumps(mark, indent=2) + "\n"))


def grid_of(arms: Sequence[Arm], size: Size, blocks: int = 0) -> Grid:
    """The grid of some arms; as many blocks as the size has, or as are named."""
    settings = {name: [value] for name, value in size.settings.items()}
    return Grid(
        [arm.text for arm in arms], [size.stream], pairs=blocks or size.blocks, settings=settings,
        preset=size.preset, tasks=size.tasks, per_class=size.per_class, test_per_class=size.test_per_class,
    )  # fmt: skip


def jobs_by_arm(arms: Sequence[Arm], jobs: Sequence[Job]) -> dict[str, list[Job]]:
    """The runs of each arm, in the order of their blocks; two arms may share runs."""
    output: dict[str, list[Job]] = {}
    for arm in arms:
        preset = find_preset(jobs[0].preset, stream=jobs[0].data.stream)
        wanted = full_parameters(arm.text, preset)
        output[arm.name] = [j for j in jobs if j.recipe == arm.recipe and j.parameters == wanted]
    return output


def _matched(study: Study, size: Size, file: Path) -> tuple[list[Arm], dict[str, float]]:
    """The arms, those with a `Match` rescaled; and the geometric means of the lengths by arm."""
    if not any(arm.match for arm in study.arms):
        return list(study.arms), {}
    names = {arm.match.to for arm in study.arms if arm.match}
    needed = [arm for arm in study.arms if arm.match or arm.name in names]
    kept = json.loads(file.read_text()) if file.exists() else {}
    lengths: dict[str, float] = {name: float(value) for name, value in kept.items()}
    missing = [arm for arm in needed if arm.name not in lengths]
    if missing:
        lengths |= lengths_of(missing, study, size)
        atomic_write(file, lambda to: to.write_text(json.dumps(lengths, indent=2) + "\n"))
    preset = find_preset(size.preset, stream=size.stream.partition("=")[0])
    return [
        rescaled(arm, lengths, full_parameters(arm.text, preset)) for arm in study.arms
    ], lengths


def lengths_of(arms: Sequence[Arm], study: Study, size: Size) -> dict[str, float]:
    """The geometric mean over blocks of each arm's gradient, as its match looks at it."""
    kinds: dict[str, Place] = {arm.match.to: arm.match.of for arm in study.arms if arm.match}
    jobs = jobs_by_arm(arms, grid_of(arms, size, min(PROBED, size.blocks)).jobs())
    known: dict[str, float] = {}  # of a run: arms that differ in what is matched alone share it
    output = {}
    for arm in arms:
        of = arm.match.of if arm.match else kinds[arm.name]
        for job in jobs[arm.name]:
            known.setdefault(job.name, gradient(job, of))
        logs = [
            math.log(known[job.name]) if known[job.name] else -math.inf for job in jobs[arm.name]
        ]
        output[arm.name] = math.exp(sum(logs) / len(logs))
    return output


def rescaled(arm: Arm, lengths: Mapping[str, float], parameters: Mapping[str, Any]) -> Arm:
    """An arm whose matched parameter makes its gradient as long as that of the arm it is matched to.

    Raises:
        ConfigError: if its gradient is 0 or no number.
    """
    if arm.match is None:
        return arm
    here, there = lengths[arm.name], lengths[arm.match.to]
    if not (here > 0 and math.isfinite(here) and math.isfinite(there)):
        raise ConfigError(
            f"the arm {arm.name} has a gradient of length {here:g} at its start, which no factor makes as "
            f"long as that of {arm.match.to}: leave the matched arms out."
        )
    value = float(f"{float(parameters[arm.match.parameter]) * there / here:.4g}")
    return replace(arm, parameters={**arm.parameters, arm.match.parameter: value})
