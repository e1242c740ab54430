"""Gathered: what is known of many rows of which few are kept, in a form in which portions merge exactly."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from holdfast.statistics.class_statistics import Statistics

WHOLE = 2**256


class Read(ABC):
    """What a readout takes statistics of."""

    @abstractmethod
    def rows(self, x: Float[Tensor, "n f"]) -> Float[Tensor, "n m"]:
        """Features as it reads them, in float64."""

    @abstractmethod
    def empty(self, width: int) -> Statistics:
        """Statistics of no row of a width, of its kind."""


@dataclass(frozen=True)
class Gathered:
    """Rows of some classes: the least of each class by a hash of their content, and statistics of the rest.

    Which rows are kept depends on what they are, and not on how the data were cut or in which order the
    portions came: the ``most`` least keys of each class in two portions together are among the ``most``
    least of either. A row that has to go is added to the statistics, so that rows kept and statistics
    are at all times those of every row once.

    Attributes:
        most: rows kept of each class.
        x: (M, f) features that are kept.
        y: (M,) their classes.
        key: (M,) the first 8 bytes of a hash of each.
        place: (M,) in the list that was cut.
        classes: (C,) those with rows that are not kept, ascending.
        rest: by readout, statistics of these rows; class k is ``classes[k]``.
        count: rows of each class, kept or not.
        mark: sum of all rows' hashes, to tell one set of rows from another.
        unread: places of files that could not be read, each with the reason.
    """

    most: int
    x: Float[Tensor, "m f"]
    y: Int[Tensor, " m"]
    key: np.ndarray
    place: np.ndarray
    classes: tuple[int, ...] = ()
    rest: Mapping[str, Statistics] = field(default_factory=dict)
    count: Mapping[int, int] = field(default_factory=dict)
    mark: int = 0
    unread: tuple[tuple[int, str], ...] = ()

    @classmethod
    def of(
        cls,
        x: Float[Tensor, "n f"],
        y: Sequence[int],
        contents: Sequence[bytes],
        places: Sequence[int],
        most: int,
        reads: Mapping[str, Read],
        unread: Sequence[tuple[int, str]] = (),
    ) -> Gathered:
        """Of one portion.

        Args:
            x: features of the rows.
            y: their classes.
            contents: a hash of each, of 8 bytes at least.
            places: of them in the list.
            most: rows to keep of each class.
            reads: what each readout reads of features.
            unread: places that have no row, and why.
        """
        labels = torch.tensor(list(y), dtype=torch.long)
        key = np.array([int.from_bytes(c[:8], "big") for c in contents], np.uint64)
        whole = cls(most, x, labels, key, np.array(places, np.int64), unread=tuple(unread))
        marks = (hashlib.sha256(c + b"%d" % k).digest() for c, k in zip(contents, y, strict=True))
        mark = sum(int.from_bytes(m, "big") for m in marks) % WHOLE
        numbers, counts = np.unique(labels.numpy(), return_counts=True)
        count = dict(zip(numbers.tolist(), counts.tolist(), strict=True))
        return replace(whole, count=count, mark=mark)._trimmed(reads)

    def join(self, other: Gathered, reads: Mapping[str, Read]) -> Gathered:
        """Of the rows of both."""
        classes = tuple(sorted({*self.classes, *other.classes}))
        rest = dict(self.rest or other.rest)
        if self.rest and other.rest:
            mine, theirs = ([classes.index(k) for k in one.classes] for one in (self, other))
            for name, statistics in self.rest.items():
                grown = statistics.regroup(mine, len(classes))
                rest[name] = grown.merge(other.rest[name].regroup(theirs, len(classes)))
        count = {
            k: self.count.get(k, 0) + other.count.get(k, 0)
            for k in sorted({*self.count, *other.count})
        }
        both = Gathered(
            self.most,
            torch.cat([self.x, other.x]),
            torch.cat([self.y, other.y]),
            np.concatenate([self.key, other.key]),
            np.concatenate([self.place, other.place]),
            classes,
            rest,
            count,
            (self.mark + other.mark) % WHOLE,
            tuple(sorted((*self.unread, *other.unread))),
        )
        return both._trimmed(reads)

    def _trimmed(self, reads: Mapping[str, Read]) -> Gathered:
        """With no more than ``most`` rows a class, in the order of their places."""
        order = np.lexsort((self.place, self.key, self.y.numpy()))
        y = self.y.numpy()[order]
        first = np.searchsorted(y, y)  # where each row's class begins
        stays = np.zeros(len(order), bool)
        stays[order] = np.arange(len(order)) - first < self.most
        kept = np.flatnonzero(stays)
        kept = kept[np.argsort(self.place[kept], kind="stable")]
        gone = torch.from_numpy(np.flatnonzero(~stays))
        trimmed = replace(
            self, x=self.x[kept], y=self.y[kept], key=self.key[kept], place=self.place[kept]
        )
        return trimmed._with(self.x[gone], self.y[gone], reads) if len(gone) else trimmed

    def _with(self, x: Tensor, y: Tensor, reads: Mapping[str, Read]) -> Gathered:
        """With rows in the statistics."""
        classes = tuple(sorted({*self.classes, *y.tolist()}))
        place = {k: i for i, k in enumerate(classes)}
        columns = torch.tensor([place[k] for k in y.tolist()])
        old = [place[k] for k in self.classes]
        rest = {}
        for name, read in reads.items():
            rows = read.rows(x)
            before = self.rest[name] if name in self.rest else read.empty(rows.shape[1])
            rest[name] = before.regroup(old, len(classes)).add(rows, columns, len(classes))
        return replace(self, classes=classes, rest=rest)


class Tree:
    """Joins portions in their order, each row in few joins: as the digits of a binary number are carried.

    Args:
        join: of two, the earlier first.
    """

    def __init__(self, join: Callable[[Gathered, Gathered], Gathered]):
        self._join, self._waiting = join, list[tuple[int, Gathered]]()

    def add(self, portion: Gathered) -> None:
        """The next one."""
        size = 1
        while self._waiting and self._waiting[-1][0] == size:
            portion, size = self._join(self._waiting.pop()[1], portion), 2 * size
        self._waiting.append((size, portion))

    def whole(self) -> Gathered | None:
        """All of them; None before the first."""
        result: Gathered | None = None
        for _, portion in reversed(self._waiting):
            result = portion if result is None else self._join(portion, result)
        return result
