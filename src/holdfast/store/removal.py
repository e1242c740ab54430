"""Removal: a learner that never learned a class, and the certificate of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from holdfast.core.errors import ConfigError
from holdfast.store.surgery import place_of, regroup, require_still, trained_on
from holdfast.train.continual import Continual

SAME = 1e-6  # share of a scatter by which images read again may differ from those learned


@dataclass(frozen=True)
class Removal:
    """What was taken out of a learner.

    Attributes:
        name: of the class.
        images: it was learned from.
        trained: weights that were trained on these images and remember them.
        readouts: for each, the kind of scatter it keeps.
        chosen: for each, what had been chosen with the class, and from what it is chosen now.
    """

    name: str
    images: int
    trained: list[str]
    readouts: dict[str, str]
    chosen: dict[str, dict[str, str]]

    @property
    def exact(self) -> str:
        """``model`` if nothing of the model saw the class, ``readout`` if weights did."""
        return "readout" if self.trained else "model"


def remove_class(
    core: Continual, name: str, x: Tensor | None = None, readout_only: bool = False
) -> Removal:
    """Make a learner one that never learned a class; later classes move up by one number.

    Args:
        core: the learner; it is changed.
        name: of the class.
        x: all inputs that it was learned from, which only a readout with one scatter for all classes
            needs.
        readout_only: accept that weights were trained on it, and remember it.

    Raises:
        ConfigError: for a class it does not have, weights that remember it, or inputs that are needed.
        DataError: for inputs that are not those learned.
    """
    k = place_of(core, name)
    streaming = require_still(core, f"'{name}' cannot be removed")
    trained = trained_on(core, name)
    if trained and not readout_only:
        raise ConfigError(
            f"'{name}' cannot be removed from the whole model: {' and '.join(trained)} trained on its "
            "images remember it whatever is removed. --readout-only removes it from the readout and "
            "says so; only a model made without its images never saw them."
        )
    if len(core.labels) == 1:
        raise ConfigError(f"'{name}' is the only class: delete the folder of the model instead.")
    images = int(next(iter(streaming.values())).known.count[k])
    cleared = {}
    for reader, readout in streaming.items():
        rows = None if x is None else readout.read(core.out(x))
        if rows is None and not readout.known.scatter.by_class:
            raise ConfigError(
                f"the readout {reader} keeps one scatter for all classes, from which '{name}' cannot be "
                f"taken without the {images} images it was learned from: give their folder with --data."
            )
        cleared[reader] = readout.known.remove_class(k, rows, SAME)
    places = [c - (c > k) if c != k else -1 for c in range(len(core.labels))]
    left = [label for label in core.labels if str(label) != name]
    chosen = regroup(core, places, left, cleared)
    kinds = {reader: readout.structure for reader, readout in streaming.items()}
    return Removal(name, images, trained, kinds, chosen)


def certificate(removal: Removal, holders: Sequence[int]) -> dict[str, Any]:
    """What a removal did, as plain data.

    Args:
        removal: of a class.
        holders: earlier versions of the model that still have it.
    """
    return {
        "class": removal.name,
        "images": removal.images,
        "exact": removal.exact,
        "trained_on_it": removal.trained,
        "readouts": removal.readouts,
        "chosen_anew": removal.chosen,
        "versions_that_hold_it": list(holders),
    }
