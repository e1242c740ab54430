"""What ``holdfast run`` learns from: the flags read, the data opened and cut into tasks."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from holdfast.cli.left_out import skipped as skipped_files
from holdfast.cli.stream_options import StreamOptions
from holdfast.cli.terminal import shown
from holdfast.compare.arrival import cut_source
from holdfast.core.errors import ConfigError
from holdfast.core.grammar import coerce
from holdfast.recipes.presets import Preset, find_preset
from holdfast.stream import (
    PixelStore,
    Source,
    Stream,
    open_source,
    peek_shape,
    validation,
)


def preset_of(words: Sequence[str]) -> Preset:
    """The preset that the flags ask for, by the shape of what they say will arrive."""
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for flag, default in (
        ("--preset", "auto"),
        ("--stream", "digits"),
        ("--data", None),
        ("--size", "0"),
    ):
        first.add_argument(flag, default=default)
    known, _ = first.parse_known_args(words)
    stream, data = known.stream, Path(known.data) if known.data else None
    if data and stream == "digits":  # local data are called by their folder's name
        stream = data.resolve().name
    if known.preset != "auto":  # it is named: nothing of the data need be looked at
        return find_preset(known.preset, stream=stream)
    try:
        size = max(int(known.size), 0)
    except ValueError:  # the flags' own reader says what is wrong with it
        size = 0
    return find_preset("auto", peek_shape(stream, data, size or None), stream)


def open_data(options: StreamOptions, store: PixelStore) -> Source:
    """Read the data (DataError, ConfigError)."""
    data = open_source(
        options.stream,
        options.data,
        size=options.size or None,
        per_class=options.per_class or None,
        test_per_class=options.test_per_class or None,
        strict=options.strict_data,
        store=store,
    )
    return validation(data, options.validation) if options.validation else data


def cut(data: Source, options: StreamOptions, preset: Preset) -> Stream:
    """Cut the data into tasks (ConfigError)."""
    cuts = _cuts(options.classes_per_task)
    return cut_source(
        data, preset, options.scenario, options.tasks, cuts, options.order_seed, options.domains
    )


def _cuts(text: str) -> tuple[int, ...] | None:
    """How many classes each task brings, from ``4,2,2,2``."""
    try:
        return coerce(text, tuple[int, ...], "--classes-per-task") if text else None
    except ConfigError:
        raise ConfigError(
            f"--classes-per-task {text} is no list of whole numbers: write for example 4,2,2,2."
        ) from None


def tell_reading(data: Source, console: Console) -> None:
    """How the data were read, and what was left out."""
    for note in data.notes:
        console.print(shown(note), soft_wrap=True)
    if data.skipped:
        console.print(skipped_files(data.skipped), soft_wrap=True)
