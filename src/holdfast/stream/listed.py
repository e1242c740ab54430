"""Listed: labelled data that were found and are wanted, before any image of them is opened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Shaped
from torch import Tensor

from holdfast.core.errors import DataError
from holdfast.stream import arrays, pictures
from holdfast.stream.fit import Fit
from holdfast.stream.levels import Levels
from holdfast.stream.pictures import Decoded, Pictures, decode
from holdfast.stream.sizes import common_size, sizes_of
from holdfast.stream.walk import Skipped, readable

if TYPE_CHECKING:
    from holdfast.statistics.beside import Beside

LOOKED_AT = 32  # images whose sizes say how large the others are


@dataclass(frozen=True)
class LabelledImages:
    """Images that could be read, or feature vectors.

    Attributes:
        x: (N, 3, S, S) uint8; or (N, f) features.
        files: where each is; of an image in a table or of a vector, the table and the row.
        labels: the class of each.
        skipped: files that were left out, each with the reason.
        levels: by which greys of more than 8 bits were read; None if there were none.
        notes: what else should be known of how they were read, a sentence each.
        beside: images that other processes read, of which there are statistics alone; None for none.
    """

    x: Shaped[Tensor, "n ..."]
    files: list[Path]
    labels: list[str]
    skipped: Skipped = field(default_factory=list)
    levels: Levels | None = None
    notes: list[str] = field(default_factory=list)
    beside: Beside | None = None

    def counts(self) -> dict[str, int]:
        """How many there are of each class, those beside included."""
        more = {} if self.beside is None else self.beside.counts
        return {
            name: self.labels.count(name) + more.get(name, 0) for name in sorted({*self.labels})
        }


@dataclass(frozen=True)
class Listed:
    """Images that are wanted, none of them opened yet; or feature vectors.

    Attributes:
        where: what to call all of them.
        files: where each is.
        labels: the class of each; empty where nobody asked.
        pictures: the images; None for vectors.
        rows: ascending places of those that are wanted, among the pictures.
        vectors: (N, D) float features in place of images.
        skipped: files that are left out, each with the reason.
        notes: what else should be known, a sentence each.
    """

    where: str | Path
    files: list[Path]
    labels: list[str]
    pictures: Pictures | None = None
    rows: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    vectors: Shaped[Tensor, "n d"] | None = None
    skipped: Skipped = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def take(self, places: np.ndarray) -> Listed:
        """Those at some ascending places of these."""
        picked = [int(i) for i in places]
        return replace(
            self,
            files=[self.files[i] for i in picked],
            labels=[self.labels[i] for i in picked] if self.labels else [],
            rows=self.rows[places] if self.pictures is not None else self.rows,
            vectors=None if self.vectors is None else self.vectors[torch.tensor(picked).long()],
        )

    def kept(self, per_class: int | None, seed: int) -> Listed:
        """At most so many of each class, chosen by a seed; None keeps all (ConfigError below 1)."""
        arrays.positive(per_class=per_class)
        if per_class is None:
            return self
        numbers = np.unique(self.labels, return_inverse=True)[1]
        return self.take(arrays.keep(numbers, per_class, seed))

    def read(
        self,
        size: int | None = None,
        strict: bool = False,
        levels: Levels | None = None,
        fit: Fit = "squash",
        resize: int = 0,
    ) -> LabelledImages:
        """Images as pixels of one square size; vectors as they are.

        Args:
            size: side to which images are resized; None keeps the size of square images that share
                one, and takes 64 otherwise.
            strict: refuse an image that cannot be read, in place of skipping it.
            levels: of greys of more than 8 bits; None finds them from these images.
            fit: how images become squares of that side: squash, crop or pad.
            resize: what the shorter side becomes before a crop; 0 is the size.

        Raises:
            DataError: if none can be read, or they would not fit into memory.
        """
        arrays.positive(size=size)
        if self.vectors is not None:
            return self.labelled(self.vectors, range(len(self.files)), [], None, None)
        assert self.pictures is not None
        images = read_pictures(self.pictures, self.rows, size, strict, levels, fit, resize)
        rows = images.rows[0].tolist()
        return self.labelled(images.x[0], rows, images.skipped, images.levels, levels)

    def labelled(
        self,
        x: Shaped[Tensor, "n ..."],
        rows: Sequence[int],
        unread: Skipped,
        levels: Levels | None,
        asked: Levels | None,
    ) -> LabelledImages:
        """With what was read of them.

        Args:
            x: pixels or features of those that could be read.
            rows: their places among the files.
            unread: the others, each with the reason.
            levels: by which greys of more than 8 bits were read.
            asked: the same if they were not found from these images.

        Raises:
            DataError: if none could be read.
        """
        if not len(x):
            raise nothing_read(self.where, unread)
        files = [self.files[i] for i in rows]
        labels = [self.labels[i] for i in rows] if self.labels else []
        notes = self.notes + levels_note(None if asked else levels)
        return LabelledImages(x, files, labels, self.skipped + unread, levels, notes)

    @property
    def side(self) -> int:
        """The median shorter side, in pixels, of some of the images; 0 for none."""
        if self.pictures is None or not len(self.rows):
            return 0
        some = self.rows[:: max(1, len(self.rows) // LOOKED_AT)]
        sides = sorted(min(size) for size in sizes_of(e for _, e in self.pictures.images(some)))
        return sides[len(sides) // 2] if sides else 0


def read_pictures(
    images: Pictures,
    rows: np.ndarray,
    size: int | None = None,
    strict: bool = False,
    levels: Levels | None = None,
    fit: Fit = "squash",
    resize: int = 0,
) -> Decoded:
    """Encoded images as pixels of one square size; those that can be read.

    Args:
        images: not decoded yet.
        rows: (M,) ascending numbers of those wanted.
        size: side to which they are resized; None as for `Listed.read`.
        strict: refuse an image that cannot be read, in place of skipping it.
        levels: of greys of more than 8 bits; None finds them from these images.
        fit: how images become squares of that side: squash, crop or pad.
        resize: what the shorter side becomes before a crop; 0 is the size.

    Raises:
        DataError: if they would not fit into memory.
    """
    side = size or common_size(encoded for _, encoded in images.images(rows))
    if len(rows) * 3 * side * side > pictures.ROOM:
        raise DataError(
            f"{len(rows)} images of {side} x {side} pixels need "
            f"{len(rows) * 3 * side * side / 2**30:.1f} GiB of memory: give a smaller --size."
        )
    return decode([(images, rows)], side, strict, levels, fit, resize if size else 0)


def nothing_read(root: str | Path, skipped: Skipped) -> DataError:
    """The error for data of which no image can be read: the first, and why."""
    return DataError(f"no image of {readable(root)} can be read: {skipped[0][0]} {skipped[0][1]}.")


def levels_note(levels: Levels | None) -> list[str]:
    """How greys of more than 8 bits were read, if there were any."""
    return [] if levels is None else [str(levels)]
