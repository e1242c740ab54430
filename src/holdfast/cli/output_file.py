"""A file that a command writes: refused if it is there already, and whole or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from holdfast.core.errors import ConfigError
from holdfast.store.atomic import atomic_write


def refuse_taken(path: Path, overwrite: bool, flag: str = "--out") -> None:
    """Stop before any work if the file is there and may not be replaced (ConfigError).

    Args:
        path: of the file.
        overwrite: whether it may be replaced.
        flag: that names the file.
    """
    if path.exists() and not overwrite:
        raise ConfigError(f"{path} exists already: choose another {flag}, or add --overwrite.")


def write_file(path: Path, put: Callable[[Path], object], flag: str = "--out") -> None:
    """Make the file and the folders above it (ConfigError if that cannot be).

    Args:
        path: of the file.
        put: writes it, where it is told to.
        flag: that names the file.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, put)
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be written ({error.strerror}): choose another {flag}."
        ) from None
