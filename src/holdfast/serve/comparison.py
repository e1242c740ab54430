"""Two models asked about the same images: accuracy by class, agreement, and whether it is chance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from holdfast.metrics.accuracy import by_class
from holdfast.serve.predictor import Predictor


@dataclass(frozen=True)
class Comparison:
    """What two models said of N images.

    Attributes:
        truth: the class of each.
        before, after: what each model called it.
    """

    truth: list[str]
    before: list[str]
    after: list[str]

    @property
    def agreement(self) -> float:
        """Share of images that both call the same; nan for none."""
        same = sum(a == b for a, b in zip(self.before, self.after))
        return same / len(self.truth) if self.truth else float("nan")

    @property
    def lost(self) -> int:
        """Images that the first alone has right."""
        rows = zip(self.truth, self.before, self.after)
        return sum(a == t != b for t, a, b in rows)

    @property
    def won(self) -> int:
        """Images that the second alone has right."""
        rows = zip(self.truth, self.before, self.after)
        return sum(b == t != a for t, a, b in rows)

    @property
    def p_value(self) -> float:
        """Of McNemar's exact test, see `mcnemar`."""
        return mcnemar(self.lost, self.won)

    def by_class(self) -> dict[str, tuple[int, int, int]]:
        """For each class: right before, right after, of how many."""
        before, after = (
            by_class(self.truth, [t == a for t, a in zip(self.truth, answers)])
            for answers in (self.before, self.after)
        )
        return {name: (before[name][0], *after[name]) for name in after}

    def differing(self) -> list[int]:
        """Numbers of the images that the two call differently."""
        return [i for i, (a, b) in enumerate(zip(self.before, self.after)) if a != b]


def compare(
    before: Predictor,
    after: Predictor,
    x: tuple[Tensor, Tensor],
    labels: Sequence[str],
    renamed: Mapping[str, str],
) -> Comparison:
    """Ask two models.

    Args:
        before: a model.
        after: another.
        x: the inputs, as the one takes them and as the other does.
        labels: one an input.
        renamed: new names of classes of the first.
    """
    first = [before.classes[i] for i in before(x[0]).label.tolist()]
    second = [after.classes[i] for i in after(x[1]).label.tolist()]
    return Comparison(list(labels), [renamed.get(name, name) for name in first], second)


def mcnemar(lost: int, won: int) -> float:
    """Two-sided exact p value that as many images are lost as won: min(1, 2 P(B <= min)), B ~ Bin(n, 1/2).

    Args:
        lost: images that only the first has right.
        won: images that only the second has right.

    Source: McNemar, 1947; exact as in Fagerland, Lydersen, Laake, 2013

    >>> mcnemar(0, 5), mcnemar(3, 3), mcnemar(0, 0)
    (0.0625, 1.0, 1.0)
    """
    n = lost + won
    tail = sum(math.comb(n, k) for k in range(min(lost, won) + 1))
    return min(1.0, 2 * tail / 2**n)
