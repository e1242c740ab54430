"""Audit: what in the data would make an update worse than it need be, or its measurement untrue."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Shaped
from torch import Tensor

from holdfast.release.alike import (
    MOST,
    NEAR,
    comparable,
    contents,
    nearly_same,
    other_class,
    spread,
)

COLUMNS = 8  # numbers of a row below which nearness means nothing
FEW = 5  # images of a class below which its accuracy is a matter of luck
CONTRADICTED = 0.05  # share of images under two names from which on nothing should be learned
LEAKED = 0.5  # share of golden images that are also learned from which on nothing is measured
Severity = Literal["note", "warning", "refusal"]


@dataclass(frozen=True)
class Finding:
    """One thing to know about the data.

    Attributes:
        kind: ``duplicates``, ``near_duplicates``, ``two_names``, ``golden``, ``few``, ``label``.
        severity: note, warning, or refusal: nothing is learned unless it is asked for.
        text: a sentence.
        files: the images it is about, the worst first.
    """

    kind: str
    severity: Severity
    text: str
    files: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Rows:
    """Labelled rows that are looked at.

    Attributes:
        x: (N, C, H, W) pixels, or (N, D) features.
        labels: one a row.
        files: where each comes from.
    """

    x: Shaped[Tensor, "n ..."]
    labels: Sequence[str]
    files: Sequence[str | Path]

    def name(self, i: int) -> str:
        """Of a row: its file, with its class."""
        return f"{self.files[i]} ({self.labels[i]})" if len(self.files) > i else f"row {i + 1}"


def audit(data: Rows, golden: Rows | None = None, judge_labels: bool = True) -> list[Finding]:
    """Everything worth knowing, the most severe first.

    Images are the same if all their numbers are. They are nearly the same if the squared distance of
    their standardised features (or of 8 x 8 averages of their pixels) is at most 3 % of the mean
    squared distance of an image from its class's mean; of fewer than 8 numbers that means nothing.
    A label is doubtful if four of the five nearest other images are of one other class. More than
    10,000 images are only looked at for equal ones.

    Args:
        data: what is to be learned.
        golden: what is to be measured on.
        judge_labels: whether the rows are features that can tell classes apart.
    """
    order = ("refusal", "warning", "note")
    return sorted(_findings(data, golden, judge_labels), key=lambda f: order.index(f.severity))


def _findings(data: Rows, golden: Rows | None, judge_labels: bool) -> Iterator[Finding]:
    hashes = contents(data.x)
    yield from _equal(data, hashes)
    counts = Counter(data.labels)
    few = sorted((n, name) for name, n in counts.items() if n < FEW)
    if few:
        names = ", ".join(f"{name} {n}" for n, name in few[:10])
        more = f" and {len(few) - 10} more" if len(few) > 10 else ""
        yield Finding(
            "few", "warning",
            f"{len(few)} class{'es have' if len(few) > 1 else ' has'} fewer than {FEW} images, too few to "
            f"say how well: {names}{more}.",
        )  # fmt: skip
    if len(data.x) > MOST:
        yield from _leaks(data, golden, hashes, None)
        return
    names = sorted(set(data.labels))
    y = torch.tensor([names.index(label) for label in data.labels])
    rows, scale = comparable(data.x)
    near = NEAR * spread(rows, y) if rows.shape[1] >= COLUMNS else -1.0
    yield from _near(data, nearly_same(rows, None, near), hashes)
    if judge_labels:
        yield from _doubtful(data, other_class(rows, y), names)
    place = None
    if golden is not None and len(golden.x) <= MOST:
        place = nearly_same(comparable(golden.x, scale)[0], rows, near)
    yield from _leaks(data, golden, hashes, place)


def _equal(data: Rows, hashes: Sequence[bytes]) -> Iterator[Finding]:
    """The same image twice, by one name or by two."""
    names: dict[bytes, set[str]] = {}
    first: dict[bytes, int] = {}
    again = []
    for i, (content, label) in enumerate(zip(hashes, data.labels, strict=True)):
        names.setdefault(content, set()).add(label)
        if first.setdefault(content, i) != i:
            again.append(i)
    torn = [i for i, content in enumerate(hashes) if len(names[content]) > 1]
    twice = [i for i in again if len(names[hashes[i]]) == 1]
    if torn:
        grave = len(torn) > CONTRADICTED * len(hashes)
        yield Finding(
            "two_names", "refusal" if grave else "warning",
            f"{len(torn)} image{'s are' * (len(torn) > 1) or ' is'} in the data under more than one class: "
            "at most one of the names is right.",
            [data.name(i) for i in torn],
        )  # fmt: skip
    if twice:
        yield Finding(
            "duplicates", "note",
            f"{len(twice)} image{'s are copies' if len(twice) > 1 else ' is a copy'} of another one of the "
            "same class: they count twice.",
            [data.name(i) for i in twice],
        )  # fmt: skip


def _near(data: Rows, place: Tensor, hashes: Sequence[bytes]) -> Iterator[Finding]:
    near = [i for i, j in enumerate(place.tolist()) if j >= 0 and hashes[i] != hashes[j]]
    if near:
        share = len(near) / len(place)
        yield Finding(
            "near_duplicates", "warning" if share > 0.2 else "note",
            f"{len(near)} image{'s are' * (len(near) > 1) or ' is'} nearly the same as another one, as the "
            "frames of a film are: they say less than as many different ones.",
            [data.name(i) for i in near],
        )  # fmt: skip


def _doubtful(data: Rows, place: Tensor, names: Sequence[str]) -> Iterator[Finding]:
    """Images among those of another class."""
    other = place.tolist()
    doubtful = [i for i, k in enumerate(other) if k >= 0]
    if doubtful:
        yield Finding(
            "label", "warning",
            f"{len(doubtful)} image{'s look' if len(doubtful) > 1 else ' looks'} like another class than "
            "their folder says: look at them.".replace("their", "its" if len(doubtful) == 1 else "their"),
            [f"{data.name(i)} looks like {names[other[i]]}" for i in doubtful],
        )  # fmt: skip


def _leaks(
    data: Rows, golden: Rows | None, hashes: Sequence[bytes], near: Tensor | None
) -> Iterator[Finding]:
    """Images that are learned and measured on."""
    if golden is None:
        return
    learned = set(hashes)
    same = [content in learned for content in contents(golden.x)]
    if near is not None:
        same = [a or b for a, b in zip(same, (near >= 0).tolist())]
    both = [i for i, leaked in enumerate(same) if leaked]
    if both:
        grave = len(both) > LEAKED * len(same)
        yield Finding(
            "golden", "refusal" if grave else "warning",
            f"{len(both)} of {len(same)} golden images {'are' if len(both) > 1 else 'is'} also among those "
            "to be learned, or nearly: what is measured on them says nothing of new images.",
            [golden.name(i) for i in both],
        )  # fmt: skip
