"""Counted: what a model gets right of labelled data, by class."""

from __future__ import annotations

from dataclasses import dataclass, field

from holdfast.serve.predictor import Predictor
from holdfast.stream.listed import Listed
from holdfast.stream.walk import Skipped

Counts = dict[str, tuple[int, int]]


@dataclass(frozen=True)
class Counted:
    """What a model got right.

    Attributes:
        counts: by name of class, right answers and of how many, in the order of the names.
        skipped: files that could not be read, or were left out, each with the reason.
        notes: what else should be known, a sentence each.
    """

    counts: Counts
    skipped: Skipped = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def count_right(predictor: Predictor, listed: Listed) -> Counted:
    """What a model gets right of labelled data, counted by this process.

    Args:
        predictor: the model.
        listed: the data.

    Raises:
        ConfigError: as of `Predictor.read`.
        DataError: as of `Predictor.read_folder`.
    """
    data = predictor.labelled(listed)
    return Counted(predictor.accuracies(data.x, data.labels), data.skipped, data.notes)
