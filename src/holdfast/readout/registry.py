"""Readouts by name: the one table, and the grammar of ``--readout`` and ``--also``.

``NAME``, ``NAME:SPACE`` or ``NAME:key=value:key=value``; what may be set is the constructor's signature.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from holdfast.errors import ConfigError, unknown
from holdfast.learner.prototype import Frame
from holdfast.readout.gaussian import ClassGaussian, SharedGaussian
from holdfast.readout.head import Head
from holdfast.readout.nearest import NearestMean, NearestPrototype
from holdfast.readout.probe import LinearProbe
from holdfast.readout.pseudo import PseudoHead
from holdfast.readout.readout import SPACES, Readout
from holdfast.readout.ridge import RandomFeatureRidge, Ridge

READOUTS: dict[str, Callable[..., Readout]] = {
    "head": Head,
    "prototype": NearestPrototype,
    "mean": NearestMean,
    "gaussian": SharedGaussian,
    "stale-gaussian": partial(SharedGaussian, drift="none"),
    "class-gaussian": ClassGaussian,
    "fecam": partial(
        ClassGaussian, gamma1=1.0, gamma2=1.0, normalise=True, determinant=False, tukey=0.5
    ),
    "ridge": Ridge,
    "random-ridge": RandomFeatureRidge,
    "pseudo-head": PseudoHead,
    "probe": LinearProbe,
}


def kind(text: str) -> type[Readout]:
    """The class behind a text such as ``gaussian:embedding`` (ConfigError for an unknown name)."""
    name = text.split(":")[0]
    if name not in READOUTS:
        raise unknown("readout", name, [*READOUTS, "auto"])
    made = READOUTS[name]
    found = made.func if isinstance(made, partial) else made
    assert isinstance(found, type)
    assert issubclass(found, Readout)
    return found


def readout(text: str, frame: Frame | None = None) -> Readout:
    """A readout from a text such as ``gaussian``, ``gaussian:embedding`` or ``fecam:tukey=1:drift=none``.

    It carries the text as its name.

    Args:
        text: the name, and what differs from its defaults.
        frame: the method's prototypes, for a readout that needs them.

    Raises:
        ConfigError: for an unknown name or parameter, or a value that does not fit.
    """
    of = kind(text)
    name, *settings = text.split(":")
    hints = get_type_hints(of.__init__)
    may = [p for p in inspect.signature(of).parameters if p != "frame"]
    given: dict[str, Any] = {"frame": frame} if of.needs_frame else {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals and key in SPACES:
            key, value = "on", key
        if key not in may:
            raise ConfigError(
                f"the readout {name} has no parameter '{key}': write for example "
                f"{name}:{may[0]}=..., of {', '.join(may)}."
                if may
                else f"the readout {name} has no parameters: write {name} alone."
            )
        given[key] = _value(value, hints[key], f"{name}:{key}")
    made = READOUTS[name](**given)
    made.name = text
    return made


def _value(text: str, hint: Any, where: str) -> object:
    """A text as what the signature asks for (ConfigError)."""
    options = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    for option in options:
        if option is NoneType and text == "none":
            return None
        if get_origin(option) is Literal:
            if text in get_args(option):
                return text
            raise unknown(f"value of {where}", text, get_args(option))
        if option is bool and text.lower() in ("yes", "no", "true", "false"):
            return text.lower() in ("yes", "true")
        if option in (int, float):
            try:
                return option(text)
            except ValueError:
                continue
    wanted = " or ".join(
        "yes or no" if o is bool else getattr(o, "__name__", "none") for o in options
    )
    raise ConfigError(
        f"{where}={text} cannot be read: it must be {wanted.replace('NoneType', 'none')}."
    )
