"""``holdfast run RECIPE``: learn a stream, print the figures, and leave a folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from signal import SIGINT
from typing import TYPE_CHECKING

from rich.console import Console

from holdfast.cli.arriving import cut, open_data, preset_of, tell_reading
from holdfast.cli.dry import tell_needs
from holdfast.cli.flags import RunFlags, parse_run
from holdfast.cli.interrupt import Interrupt, Stopped, again
from holdfast.cli.listing import list_parts
from holdfast.cli.logging import followed
from holdfast.cli.options import RunOptions
from holdfast.cli.ranked import follow, run_rank
from holdfast.cli.terminal import Terminal, shown
from holdfast.core.allocator import keep_freed_memory
from holdfast.core.errors import ConfigError, HoldfastError, unknown
from holdfast.core.ranks import current
from holdfast.core.registry import IMPORTED
from holdfast.core.settings import Machine
from holdfast.core.text import json_text
from holdfast.learner.synced import where
from holdfast.log.sink import ready
from holdfast.recipes.catalogue import RECIPES, resolve
from holdfast.recipes.former import EDITION, as_made
from holdfast.recipes.presets import Preset
from holdfast.report import Watch, progress_mode, summary
from holdfast.store import RunFolder, fresh, stopped
from holdfast.store.checkpoint import Checkpoint
from holdfast.store.folder import CHECKPOINT
from holdfast.stream import PixelStore, Stream
from holdfast.train.blueprint import Blueprint
from holdfast.train.devices import on_devices
from holdfast.train.events import TaskDone
from holdfast.train.meeting import ranked, silence
from holdfast.train.progress import Progress
from holdfast.train.runner import Run
from holdfast.train.setup import FIELDS
from holdfast.train.state import State

if TYPE_CHECKING:
    from holdfast.diagnose.diagnoser import Diagnoser


def run_command(arguments: list[str], console: Console) -> int:
    """Read the flags, and carry out the run."""
    if not arguments or arguments[0].startswith("-"):
        if arguments and arguments[0] not in ("-h", "--help"):
            raise unknown("recipe", arguments[0], RECIPES)
        console.print("holdfast run RECIPE [flags], with RECIPE one of:\n")
        return list_parts("recipes", console)
    recipe, preset, flags = _read(arguments)
    machine = Machine(**{n: v for n, v in flags.overrides.items() if FIELDS.get(n) == "machine"})
    _agree(flags.run, machine)
    with ranked(machine) as ranks:
        if machine.devices > 1 and ranks is None:
            return on_devices(machine, run_rank, arguments, sorted(IMPORTED), signals=True)
        if ranks is not None and ranks.rank:
            silence()
        return _carry_out(recipe, flags, preset, console, arguments)


def _read(arguments: Sequence[str], edition: int = EDITION) -> tuple[str, Preset, RunFlags]:
    """The recipe's name, the preset, and the flags, whose defaults are those of an edition."""
    text, words = arguments[0], arguments[1:]
    preset = preset_of(words)
    entry, parameters = resolve(text, preset)
    parameters = as_made(entry.name, parameters, edition)
    return entry.name, preset, parse_run(entry.name, entry.value, parameters, preset, words)


def _agree(run: RunOptions, machine: Machine) -> None:
    """Flags that do not go together, before anything is read or started (ConfigError)."""
    if run.log:
        ready(run.log)
    if machine.devices > 1 and (run.dry or run.diagnose):
        flag, instead = (
            ("--dry", "leave --devices out to see what one needs")
            if run.dry
            else ("--diagnose", "use holdfast diagnose on the run's folder afterwards")
        )
        raise ConfigError(f"{flag} works on one device: {instead}.")


def _carry_out(
    recipe: str, flags: RunFlags, preset: Preset, console: Console, arguments: Sequence[str]
) -> int:
    """What was asked, on the devices that are there."""
    # with --json, what a person reads goes where errors go
    console = Terminal(stderr=True, highlight=False) if flags.run.json else console
    beside = flags.run.out.parent if flags.run.out else Path("runs")
    data = open_data(flags.stream, PixelStore(beside / "pixels", flags.run.pixels))
    stream = cut(data, flags.stream, preset)
    work = _prepared(recipe, flags, preset, stream)
    if flags.run.resume and (edition := _edition(flags.run, work)) != EDITION:
        flags = _read(arguments, edition)[2]
        work = _prepared(recipe, flags, preset, stream)
    if not flags.run.quiet:
        tell_reading(data, console)
    return perform(work, flags, preset, console, arguments)


def _prepared(recipe: str, flags: RunFlags, preset: Preset, stream: Stream) -> Run:
    """The run of a recipe before it learns."""
    blueprint = Blueprint.of(recipe, stream.shape, preset, flags.parameters, **flags.overrides)
    work = Run(blueprint.method(), stream, blueprint.setup)
    work.result.config = work.config | {
        "recipe": dict(blueprint.parameters),
        "stream": asdict(flags.stream),
        "preset": preset.provenance,
    }
    return work


def _edition(run: RunOptions, work: Run) -> int:
    """The edition of the defaults that the run to resume was begun with, or of now."""
    state = Checkpoint(_path(run, work) / CHECKPOINT).read()
    return EDITION if state is None else Progress.from_dict(state).edition


def perform(
    work: Run, flags: RunFlags, preset: Preset, console: Console, arguments: Sequence[str]
) -> int:
    """Carry out a run; the arguments are repeated when it is stopped, with how to go on."""
    keep_freed_memory()
    if flags.run.dry:
        return tell_needs(work, console, _opening(work, preset.name), flags.run.json)
    ranks = current()
    if ranks is not None and ranks.rank:
        return follow(work, ranks)
    folder = _folder(flags.run, work)
    if ranks is not None:
        ranks.from_first((folder.complete, folder.state))
    say = console.print if not flags.run.quiet else lambda *_, **__: None
    if folder.complete:
        say(shown(f"{folder.path} is complete: nothing is left to learn."))
        return _answer(folder, flags.run)
    say(shown(_opening(work, preset.name)), soft_wrap=True)
    if folder.state is not None:
        say(_taken_up(work, folder.state))
    diagnoser = _diagnoser(work, folder) if flags.run.diagnose else None
    if diagnoser is not None:
        say(diagnoser.cost(), soft_wrap=True)
    try:
        _learn(work, folder, flags.run, console, diagnoser)
    except (HoldfastError, KeyboardInterrupt) as error:
        work.result.status = f"stopped: {str(error) or 'interrupted'}"
        folder.result(work.result)
        if isinstance(error, HoldfastError):
            raise
        words = ["--out", str(folder.path), "--resume"]
        go_on = again(["run", arguments[0]], arguments[1:], words)
        raise Stopped(f"stopped; to go on: {go_on}", getattr(error, "by", SIGINT)) from None
    if not flags.run.quiet:
        console.print(summary(work.result, folder.path))
        if diagnoser is not None and diagnoser.tasks:
            console.print()
            console.print(
                *diagnoser.shown(sum(task.seconds for task in work.result.tasks)), sep="\n"
            )
    return _answer(folder, flags.run)


def _taken_up(work: Run, state: State) -> str:
    """Go on where a run stopped; where that is, in words."""
    work.restore(state)
    done, training = work.progress, work.continual.setup.training
    return (
        f"resumed in task {done.task + 1}, after epoch {done.epochs} of "
        f"{training.epochs_of(done.task)}"
    )


def _answer(folder: RunFolder, run: RunOptions) -> int:
    """The exit code; with --json, the result as one object."""
    if run.json:
        content = json.loads((folder.path / "result.json").read_text("utf-8"))
        print(json_text({"folder": str(folder.path)} | content, indent=2))  # noqa: T201
    return 0


def _folder(run: RunOptions, work: Run) -> RunFolder:
    """Where the results go: what was asked for, the stopped run of that name, or a fresh name."""
    return RunFolder(_path(run, work), run.overwrite, run.resume)


def _path(run: RunOptions, work: Run) -> Path:
    """Of the folder."""
    if run.resume and run.overwrite:
        raise ConfigError("--resume goes on with a run and --overwrite removes it: give one.")
    core = work.continual
    named = (core.method.name, work.stream.name, str(core.protocol))
    return run.out or (stopped(*named) if run.resume else fresh(*named))


def _diagnoser(work: Run, folder: RunFolder) -> Diagnoser:
    from holdfast.diagnose.diagnoser import Diagnoser  # which a run without it does not need

    return Diagnoser(work.stream, folder.path, done=work.progress.task)


def _learn(
    work: Run, folder: RunFolder, run: RunOptions, console: Console, diagnoser: Diagnoser | None
) -> None:
    training = work.continual.setup.training
    epochs = [training.epochs_of(task.index) for task in work.stream]
    mode = progress_mode(console, run.quiet)
    with (
        Interrupt(Console(stderr=True)) as interrupt,
        Watch(mode, console, epochs) as watch,
        followed(work, folder, run.log, epochs) as logs,
    ):
        for event in work.events():
            folder(event)
            if diagnoser is not None:
                diagnoser(work, event)
            watch(event)
            logs(event)
            if work.result.status == "complete":
                return
            asked, ranks = interrupt.asked, current()
            folder.keep(work.state, must=asked or isinstance(event, TaskDone))
            if ranks is not None:
                ranks.from_first(asked)
            if asked:
                interrupt.stop()


def _opening(work: Run, preset: str) -> str:
    """What is about to happen, in a line."""
    stream, core = work.stream, work.continual
    weights = sum(p.numel() for p in work.learner.parameters())
    images = sum(len(task.train) for task in stream)
    return (
        f"{core.method.name} on {stream.name}: {len(stream)} tasks, {len(stream.names)} classes, "
        f"{images:,} training samples; {weights:,} weights on {where(work.learner, core.fabric.device)}; "
        f"protocol {core.protocol}, preset {preset}"
    )
