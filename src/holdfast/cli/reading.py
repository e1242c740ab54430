"""Flags of a command: read into its options, and checked; nothing that learns is imported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

import tyro

from holdfast.core.errors import ConfigError
from holdfast.core.settings import flag

T = TypeVar("T")
SEEDS = ("seed", "order_seed")


def read(
    kind: type[T],
    arguments: Sequence[str],
    program: str,
    default: T | None = None,
    description: str | None = None,
) -> T:
    """The options of a command from its flags (tyro leaves with code 2 on a wrong one).

    Raises:
        ConfigError: for a negative number where none can be.
    """
    more = {} if default is None else {"default": default, "description": description}
    options = tyro.cli(
        kind, args=list(arguments), prog=program, config=(tyro.conf.FlagCreatePairsOff,), **more
    )
    check_counts(options)
    return options


def check_counts(options: Any) -> None:
    """Refuse negative whole numbers, which no option but a seed may be (ConfigError)."""
    for f in fields(options):
        value = getattr(options, f.name)
        if is_dataclass(value):
            check_counts(value)
        elif isinstance(value, int) and value < 0 and f.name not in SEEDS:
            raise ConfigError(f"{flag(f.name)} must be at least 0, not {value}.")
