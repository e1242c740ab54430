"""The one family of errors a user can cause; each message is one sentence that says what would be right."""

from collections.abc import Iterable
from difflib import get_close_matches


class HoldfastError(Exception):
    """Something the user can put right; the command line prints its message and exits with 2."""


class DataError(HoldfastError, ValueError):
    """A source, an image or a label that cannot be used."""


class ConfigError(HoldfastError, ValueError):
    """A name, a number or a combination of parts that cannot run."""


class ProtocolError(HoldfastError):
    """A part kept images that the declared protocol does not allow."""


class DivergedError(HoldfastError):
    """A loss term stopped being finite."""


class StoreError(HoldfastError):
    """A stored file or folder that is damaged, in use, or cannot be written."""


class PluginError(StoreError):
    """Code from outside that a stored model needs, and that the user has not named."""


class DeviceError(HoldfastError):
    """One of several processes that learn together has ended."""


def unknown(kind: str, name: str, known: Iterable[str]) -> ConfigError:
    """The error for a name that does not exist, with the nearest one that does.

    >>> str(unknown("recipe", "fcn2", ["fnc2", "co2l"]))
    "unknown recipe 'fcn2': did you mean 'fnc2'? Known: co2l, fnc2."
    """
    known = sorted(known)
    near = get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'? " if near else ""
    return ConfigError(f"unknown {kind} '{name}': {hint}Known: {', '.join(known)}.")
