"""The run-time type checker of the test run: annotations hold, and an int is a float (PEP 484)."""

import inspect
from collections.abc import Callable
from typing import Any

from beartype import BeartypeConf, beartype

checked = beartype(conf=BeartypeConf(is_pep484_tower=True))


def unchecked(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of the package without the type checker, as a user calls it."""
    return inspect.unwrap(function)
