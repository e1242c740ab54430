"""``holdfast learn``: a model from a folder of images, or new classes for one that exists."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from holdfast.cli.interrupt import Interrupt, Stopped, again
from holdfast.cli.model_blueprint import asked_model
from holdfast.cli.operate import finite
from holdfast.cli.options import Learn
from holdfast.cli.passing import Passing
from holdfast.cli.reading import read
from holdfast.cli.release import doubts, lines, opening, release
from holdfast.core.allocator import keep_freed_memory
from holdfast.core.errors import ConfigError
from holdfast.core.logs import at_level
from holdfast.core.text import json_text
from holdfast.release.gate import Gate
from holdfast.release.settle import settled
from holdfast.release.teaching import Asked, Teaching
from holdfast.report import Watch, progress_mode
from holdfast.store.lock import nothing_left
from holdfast.store.manifest import Manifest
from holdfast.store.model import ModelFolder
from holdfast.stream.listed import Listed

REFUSED = 3  # exit code: nothing was published


def learn_command(arguments: list[str], console: Console) -> int:
    """Read the flags, and carry out the update under the folder's lock."""
    options = read(Learn, arguments, "holdfast learn")
    if options.resume and options.anew:
        raise ConfigError("--resume goes on with a stopped update and --anew drops it: give one.")
    keep_freed_memory()
    folder = ModelFolder(options.model)
    silent = at_level("holdfast.train.few", logging.ERROR)  # the report says it
    with silent, nothing_left(folder.path), folder.lock():
        # with --json, what a person reads goes where errors go
        console = Console(stderr=True, soft_wrap=True) if options.json else console
        return _perform(folder, options, arguments, console)


def _perform(
    folder: ModelFolder, options: Learn, arguments: Sequence[str], console: Console
) -> int:
    say = console.print if not options.quiet else lambda *_, **__: None
    with Passing(console, options.quiet) as passing:
        teaching = teaching_of(folder, options, passing)
    update, data = teaching.update, teaching.data
    if update.published and update.base:
        say(f"version {update.base.version} has learned these images: nothing is left to resume")
        return _answer(teaching, update.base, [], options)
    if not options.quiet:
        opening(update, data, console)
        console.print(doubts(teaching.findings), soft_wrap=True, end="")
    if teaching.refusals:
        reasons = [finding.text for finding in teaching.refusals]
        console.print("nothing was learned: mend the data, or learn it all the same with --yes.")
        return _answer(teaching, None, reasons, options)
    _learn(teaching, options.quiet, arguments, console)
    end = settled(teaching)
    if end.manifest is None:
        say(lines(end.notes))
        say(_refusal(end.reasons, end.notes["base"]), soft_wrap=True)
    else:
        say(release(end.manifest, folder.path, end.page))
    return _answer(teaching, end.manifest, end.reasons, options, end.page)


def teaching_of(
    folder: ModelFolder,
    options: Learn,
    progress: Callable[[int, int], object] | None = None,
    data: Path | Listed | None = None,
    golden: Path | Listed | None = None,
) -> Teaching:
    """The update that the options describe, with its images read.

    Args:
        folder: of the model, with its lock held.
        options: of the command.
        progress: called with the images that went through a frozen backbone, and all of them.
        data: in place of that of the options.
        golden: the same.

    Raises:
        ConfigError: for options that do not fit, or that differ from those of the model.
        DataError: for images that cannot be read.
    """
    source, judges = data or options.data, golden or options.golden
    reader, learned = asked_model(folder, options, progress, source)
    measured = None if judges is None else reader.read(judges, options, "test")
    if options.anew:
        folder.checkpoint.remove()
    gate = Gate(options.max_drop, options.max_class_drop)
    name = str(source.where) if isinstance(source, Listed) else source.name
    asked = Asked(gate, options.yes, options.resume, options.device, options.pictures, name)
    return Teaching(folder, learned, measured, reader.blueprint, reader.core, reader.base, asked)


def _answer(
    teaching: Teaching,
    manifest: Manifest | None,
    reasons: list[str],
    options: Learn,
    page: Path | None = None,
) -> int:
    """The exit code; with --json, what happened as one object."""
    if options.json:
        base = teaching.update.base
        content: dict[str, Any] = {
            "published": manifest is not None,
            "version": manifest.version if manifest else base.version if base else None,
            "reasons": reasons,
            "findings": [asdict(finding) for finding in teaching.findings],
            "update": manifest.update if manifest else None,
            "stored": manifest.stored if manifest else None,
            "page": None if page is None else str(page),
        }
        print(json_text(finite(content), indent=2))  # noqa: T201
    return REFUSED if manifest is None else 0


def _refusal(reasons: list[str], base: int) -> str:
    return (
        f"not published: {'; '.join(reasons)}. Version {base} stays in use; --resume --yes publishes this "
        "one without learning it again, --anew drops it."
    )


def _learn(teaching: Teaching, quiet: bool, arguments: Sequence[str], console: Console) -> None:
    """Learn it; Ctrl-C keeps where it stands and says how to go on (`Stopped`)."""
    update = teaching.update
    epochs = [update.core.setup.training.epochs_of(update.start)]
    watch = Watch(progress_mode(console, quiet), console, epochs)
    try:
        with Interrupt(Console(stderr=True)) as interrupt, watch:
            for epoch in teaching.learn():
                watch(replace(epoch, task=0, tasks=1))
                update.keep(must=interrupt.asked)
                interrupt.stop()
    except KeyboardInterrupt as stopped:
        go_on = again(["learn"], [a for a in arguments if a != "--anew"], ["--resume"])
        kept = f"version {update.base.version} stays in use" if update.base else "nothing published"
        message = f"stopped, {kept}; to go on: {go_on}"
        raise Stopped(message, getattr(stopped, "by", signal.SIGINT)) from None
