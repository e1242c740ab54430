"""Gate: whether a new version may take the place of the one in use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import comb

from holdfast.release.measured import Measured

Counts = Mapping[str, tuple[int, int]]
DROP, CLASS_DROP = 5.0, 20.0  # points
CHANCE = 0.05  # losses that coin throws would show as often as this are no losses


@dataclass(frozen=True)
class Verdict:
    """What the gate found.

    Attributes:
        lost: points that the images of old classes lost together; None if there were none.
        reasons: why the version should not be used, a sentence each; empty lets it through.
    """

    lost: float | None
    reasons: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Gate:
    """How much an update may take from the old classes.

    A limit that was set is the limit. One that was not (None) is 5 points over all old classes and 20
    for one, and a loss counts then only if it is beyond chance: among the images whose answer changed
    between right and wrong, the exact one-sided sign test gives it less than 5 %.

    Args:
        max_drop: points of accuracy over the images of all old classes.
        max_class_drop: the same for one class.
    """

    max_drop: float | None = None
    max_class_drop: float | None = None

    def judge(self, before: Measured, after: Measured) -> Verdict:
        """Compare two versions on the same images; those of classes the first did not know are left out."""
        known = set(before.classes)
        pairs = [
            (label, a, b)
            for label, a, b in zip(before.labels, before.right, after.right, strict=True)
            if label in known
        ]
        if not pairs:
            return Verdict(None)
        return Verdict(_points([p[1:] for p in pairs]), list(self._reasons(pairs)))

    def _reasons(self, pairs: list[tuple[str, bool, bool]]) -> Iterator[str]:
        everything = [p[1:] for p in pairs]
        limit = DROP if self.max_drop is None else self.max_drop
        if _exceeds(everything, limit, self.max_drop is None):
            yield (
                f"the images of old classes lose {_points(everything):.1f} points, more than --max-drop "
                f"{limit:g}"
            )
        limit = CLASS_DROP if self.max_class_drop is None else self.max_class_drop
        for name in sorted({p[0] for p in pairs}):
            own_pairs = [p[1:] for p in pairs if p[0] == name]
            if _exceeds(own_pairs, limit, self.max_class_drop is None):
                yield (
                    f"'{name}' loses {_points(own_pairs):.1f} points, more than --max-class-drop {limit:g}"
                )


def sign_test(lost: int, gained: int) -> float:
    """The share of coin throws that lose as often or more: P(B >= lost), B of lost + gained halves.

    >>> sign_test(5, 0), sign_test(2, 2)
    (0.03125, 0.6875)
    """
    total = lost + gained
    return sum(comb(total, k) for k in range(lost, total + 1)) / 2**total


def _points(pairs: list[tuple[bool, bool]]) -> float:
    """Points lost."""
    return 100 * (sum(a for a, _ in pairs) - sum(b for _, b in pairs)) / len(pairs)


def _exceeds(pairs: list[tuple[bool, bool]], limit: float, unless_chance: bool) -> bool:
    if not _points(pairs) > limit:
        return False
    lost, gained = sum(a and not b for a, b in pairs), sum(b and not a for a, b in pairs)
    return not unless_chance or sign_test(lost, gained) < CHANCE
