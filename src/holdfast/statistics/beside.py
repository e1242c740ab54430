"""Beside: rows of a task that are known by their statistics alone, next to those that are at hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from holdfast.statistics.class_statistics import Statistics


@dataclass(frozen=True)
class Beside:
    """Rows that other processes have seen, and that belong to the task as those at hand do.

    Attributes:
        labels: names of classes, each of which has rows at hand too.
        statistics: by readout, of these rows as it reads them; class k is ``labels[k]``.
        counts: by name, how many there are.
        mark: what the whole of the data, with the rows at hand, is recognised by.
    """

    labels: tuple[str, ...]
    statistics: Mapping[str, Statistics]
    counts: Mapping[str, int] = field(default_factory=dict)
    mark: str = ""

    @property
    def rows(self) -> int:
        """How many there are."""
        return sum(self.counts.values())

    def joined(
        self, readout: str, before: Statistics | None, labels: tuple[object, ...]
    ) -> Statistics:
        """The statistics of a readout with these rows.

        Args:
            readout: its name.
            before: what it has; None before its first task.
            labels: names of the classes as it numbers them.
        """
        place = {str(label): k for k, label in enumerate(labels)}
        mine = self.statistics[readout]
        places = [place[name] for name in self.labels]
        if before is None:
            return mine.regroup(places, len(labels))
        return before.join(mine, places)
