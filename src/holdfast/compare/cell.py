"""Cell: one run as one readout saw it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True)
class Cell:
    """One run as one readout saw it.

    Attributes:
        path: of its folder.
        recipe, readout, protocol: by name; the protocol is that of the readout.
        seed: of weights, batches and views.
        order: what tells its order of the classes from another.
        order_name: how a person would call that order.
        place: what a comparison needs alike: ``data``, ``split``, ``backbone`` and ``protocol``.
        method: every setting by its path, without seed, order and machine: equal for runs of one row.
        parameters: the settings that a person would name.
        class_il, task_il, right_task: (T, T) by task learned and task tested, nan above the diagonal;
            the last is None where the run did not write it.
        sizes: (T,) test rows of each task.
        stored: images, floats and bytes kept at the end; ``past_bytes`` are of a kept network.
        seconds: of learning.
        by_task: after each task, figures of its probabilities and of classes that had not come; empty
            where the run did not write them.
        classes: of each task of a class-incremental stream; a class that comes again is in several.
        trials: with how many it was tuned; None where nothing says.
        data: the whole of result.json.
    """

    path: Path
    recipe: str
    readout: str
    protocol: str
    seed: int
    order: str
    order_name: str
    place: Mapping[str, str]
    method: Mapping[str, Any]
    parameters: Mapping[str, Any]
    class_il: Float[np.ndarray, "t t"]
    task_il: Float[np.ndarray, "t t"]
    right_task: Float[np.ndarray, "t t"] | None
    sizes: Float[np.ndarray, " t"]
    stored: Mapping[str, float]
    seconds: float
    calibration_error: float | None
    by_task: Sequence[Mapping[str, float | None]]
    classes: Sequence[frozenset[int]]
    trials: int | None
    data: Mapping[str, Any] = field(repr=False)

    @property
    def block(self) -> tuple[int, str]:
        """What it shares with a run of another method: the seed and the order."""
        return self.seed, self.order
