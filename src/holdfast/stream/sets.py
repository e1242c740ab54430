"""The sets of views by name, and the set that suits an input."""

from dataclasses import replace
from typing import Any

from holdfast.core.errors import ConfigError
from holdfast.core.grammar import arguments
from holdfast.core.registry import Registry
from holdfast.stream.augment import CONTRASTIVE, CONTRASTIVE_TINY, DIGITS, NONE, PLAIN, Augment

VIEWS: Registry[Augment] = Registry("set of views", module="holdfast.stream", plural="views")

VIEWS.add("contrastive", CONTRASTIVE)
VIEWS.add("contrastive-tiny", CONTRASTIVE_TINY)
VIEWS.add("plain", PLAIN)
VIEWS.add("digits", DIGITS)
VIEWS.add("none", NONE)
VIEWS.add("noise", replace(NONE, noise=0.1))


def suited(shape: tuple[int, ...], views: int) -> Augment:
    """The set of views for inputs of a shape: contrastive for several views of a photograph, plain
    for one; mild ones for small images, where a flip may change the class; noise for vectors.
    """
    if len(shape) == 1:
        return VIEWS["noise" if views > 1 else "none"]
    if max(shape[1:]) <= 16:
        return DIGITS
    return CONTRASTIVE if views > 1 else PLAIN


def views_named(text: str, shape: tuple[int, ...], views: int) -> Augment:
    """A set of views by name, perhaps with settings: ``plain:flip=no``; ``auto`` takes the suited one.

    Raises:
        ConfigError: for an unknown name, or a setting that a set of views lacks.
    """
    if text == "auto":
        return suited(shape, views)
    entry, rest = VIEWS.find(text)
    value: Any = entry.value
    augment = value() if isinstance(value, type) else value
    if not isinstance(augment, Augment):
        raise ConfigError(f"'{text}' is {type(augment).__name__}, which is no set of views.")
    return replace(augment, **arguments(type(augment), rest, f"set of views {entry.name}"))
