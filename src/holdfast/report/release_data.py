"""What a release page shows, as plain values: whoever measured them says what they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

Count = tuple[int, int]  # how many are right, of how many


@dataclass(frozen=True)
class ClassRow:
    """One class before and after an update.

    Attributes:
        name: of the class.
        before: right ones, of how many, by the version before; None for a class it did not know.
        after: the same by the new version.
    """

    name: str
    before: Count | None
    after: Count


@dataclass(frozen=True)
class Confusion:
    """How often each class was taken for each other.

    Attributes:
        names: of the K classes.
        counts: K rows of K numbers: images of the row's class that were said to be of the column's.
    """

    names: Sequence[str]
    counts: Sequence[Sequence[int]]


@dataclass(frozen=True)
class Calibration:
    """How sure the model was of each image, and whether it was right.

    Attributes:
        confidence: largest probability of each image.
        right: whether that class was right.
        ece: expected calibration error that was measured, between 0 and 1.
        floor: what a model whose probabilities hold would be measured at on as many images.
    """

    confidence: Sequence[float]
    right: Sequence[bool]
    ece: float
    floor: float | None = None


@dataclass(frozen=True)
class Unknown:
    """How strange images looked.

    Attributes:
        known: score of each image of a known class.
        threshold: above it, an image is called unknown.
        false_alarms: share of known images that was promised to be above it.
        strange: score of each image of no known class; None if there were none.
    """

    known: Sequence[float]
    threshold: float
    false_alarms: float
    strange: Sequence[float] | None = None


@dataclass(frozen=True)
class Picture:
    """An image that is worth a look.

    Attributes:
        jpeg: its bytes, small (`holdfast.report.small`).
        file: where it is.
        label: its class, as its folder says; empty for none.
        predicted: what the model says it is.
        value: the probability it says so with, or how strange it looks.
    """

    jpeg: bytes
    file: str
    label: str
    predicted: str
    value: float


@dataclass(frozen=True)
class ReleaseData:
    """Everything on the page of one update; what was not measured is left out of it.

    Attributes:
        model: path of the model's folder.
        version: its number.
        parent: of the version it was learned from; 0 for none.
        created: when, UTC.
        classes: how many it knows.
        facts: what was learned and how, by name.
        measured_on: which images the figures are of, such as ``golden images``.
        rows: a class each.
        confusion, calibration, unknown: as far as they were measured.
        wrong: the images that were most surely taken for another class, the surest first.
        strangest: the images that looked least like any class, the strangest first.
        stored: what is stored of the data, by name.
        notes: what should be known of the data, a sentence each: duplicates, small classes.
        skipped: files that were left out, each with the reason.
    """

    model: str
    version: int
    parent: int
    created: str
    classes: int
    facts: Mapping[str, str] = field(default_factory=dict)
    measured_on: str = "golden images"
    rows: Sequence[ClassRow] = ()
    confusion: Confusion | None = None
    calibration: Calibration | None = None
    unknown: Unknown | None = None
    wrong: Sequence[Picture] = ()
    strangest: Sequence[Picture] = ()
    stored: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()
    skipped: Sequence[tuple[str, str]] = ()
