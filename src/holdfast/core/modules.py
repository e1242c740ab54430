"""Modules that a user names: by a dotted name, also in the current folder, or a .py file."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

from holdfast.core.errors import ConfigError

HERE = (__name__, "holdfast.core.registry")


def import_module(name: str) -> Any:
    """A module by its name, also one in the current folder, or a file ``path/to/module.py``.

    Raises:
        ConfigError: if it cannot be imported.
    """
    path = Path(name)
    try:
        if path.suffix == ".py":
            return _import_file(path)
        here = str(Path.cwd())
        if here not in sys.path:
            sys.path.append(here)
        return importlib.import_module(name)
    except ConfigError:
        raise
    except Exception as error:  # a module may fail in any way
        reason = f"{type(error).__name__}: {error}"
        raise ConfigError(
            f"'{name}' cannot be imported ({reason}): name a module or a .py file."
        ) from error


def _import_file(path: Path) -> Any:
    if not path.is_file():
        raise ConfigError(f"there is no file {path} to import.")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    if path.stem in sys.modules:
        loaded = sys.modules[path.stem]
        if getattr(loaded, "__file__", None) == str(path.resolve()):
            return loaded
        raise ConfigError(f"{path} has the name of a module that is in use: rename it.")
    module = importlib.util.module_from_spec(spec)
    module.__file__ = str(path.resolve())
    sys.modules[path.stem] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[path.stem]
        raise
    return module


def module_exists(name: str) -> bool:
    """Whether a dotted name is a module that could be imported; only its parents are."""
    if not all(part.isidentifier() for part in name.split(".")):
        return False
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError, AttributeError):
        return False


def attribute_of(module: Any, path: str, kind: str) -> Any:
    """What a module has under a dotted path (ConfigError, naming what it was to be)."""
    value = module
    for name in path.split("."):
        if not hasattr(value, name):
            raise ConfigError(f"{module.__name__} has no '{path}' to use as a {kind}.")
        value = getattr(value, name)
    return value


def module_of(value: object) -> str:
    """The module that has a part: a function's or class's own, or for a value the one that adds it."""
    target = getattr(value, "func", value)
    if hasattr(target, "__qualname__"):
        return target.__module__
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__") in HERE:
        frame = frame.f_back
    return frame.f_globals.get("__name__", type(value).__module__)


def identity_of(value: object) -> tuple[object, ...]:
    """What stays the same when a module is loaded again."""
    target = getattr(value, "func", value)
    name = getattr(target, "__qualname__", None)
    if name is None:
        return (type(value), repr(value))
    return (target.__module__, name, repr(getattr(value, "keywords", "")))
