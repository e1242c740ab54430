"""The sets of views by name, and the set that suits an input."""

from dataclasses import replace

from holdfast.errors import unknown
from holdfast.stream.augment import CONTRASTIVE, CONTRASTIVE_TINY, DIGITS, NONE, PLAIN, Augment

AUGMENTS = {
    "contrastive": CONTRASTIVE,
    "contrastive-tiny": CONTRASTIVE_TINY,
    "plain": PLAIN,
    "digits": DIGITS,
    "none": NONE,
    "noise": replace(NONE, noise=0.1),
}


def suited(shape: tuple[int, ...], views: int) -> Augment:
    """The set of views for inputs of a shape: contrastive for several views of a photograph, plain
    for one; mild ones for small images, where a flip may change the class; noise for vectors.
    """
    if len(shape) == 1:
        return AUGMENTS["noise" if views > 1 else "none"]
    if max(shape[1:]) <= 16:
        return DIGITS
    return CONTRASTIVE if views > 1 else PLAIN


def views_named(name: str, shape: tuple[int, ...], views: int) -> Augment:
    """A set of views by name; ``auto`` takes the suited one (ConfigError for an unknown name)."""
    if name == "auto":
        return suited(shape, views)
    if name not in AUGMENTS:
        raise unknown("set of views", name, [*AUGMENTS, "auto"])
    return AUGMENTS[name]
