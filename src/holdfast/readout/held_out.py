"""Held out: a task's rows by statistics that do not hold them, scene by scene."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from holdfast.readout.decision import Decision
from holdfast.statistics.class_statistics import Statistics
from holdfast.statistics.weighed import add_weighed

FOLDS = 4
ROUNDS = 20  # of k-means


@dataclass(frozen=True)
class Fold:
    """Statistics of all rows but some, and those rows.

    Attributes:
        rest: of all classes, without these rows.
        x: (N, f) the rows left out.
        y: (N,) their classes, each of which has other rows.
    """

    rest: Statistics
    x: Float[Tensor, "n f"]
    y: Int[Tensor, " n"]

    def scores(self, decision: Decision) -> Float[Tensor, "n k"]:
        """(N, K) of the rows; -inf for a class that none of the rest is of."""
        return decision(self.x).masked_fill(~self.rest.met, -torch.inf)


@dataclass(frozen=True)
class HeldOut:
    """A task's rows in folds, each with the statistics of everything else.

    Rows of a class that are alike, as the frames of a scene are, are left out together: what is
    measured is how new scenes fare, not how the same scene fares again (docs/theory.md, section 9).

    Attributes:
        before: statistics without the task.
        x: (N, f) rows of the task.
        y: (N,) their classes.
        classes: K so far.
        most: folds that are measured; each costs a solution of its own.
        weight: (N,) for how many rows each one stands; None is one.
    """

    before: Statistics
    x: Float[Tensor, "n f"]
    y: Int[Tensor, " n"]
    classes: int
    most: int = FOLDS
    weight: Float[Tensor, " n"] | None = None

    @cached_property
    def folds(self) -> list[Fold]:
        """Those that can be measured: none where every class has one row."""
        return list(self._folds())

    @property
    def count(self) -> int:
        """Rows that are measured."""
        return sum(len(fold.y) for fold in self.folds)

    @property
    def place(self) -> Int[Tensor, " m"]:
        """(M,) the fold of each row that is measured."""
        sizes = torch.tensor([len(fold.y) for fold in self.folds], device=self.y.device)
        return torch.arange(len(sizes), device=self.y.device).repeat_interleave(sizes)

    def _folds(self) -> Iterator[Fold]:
        place = scene_folds(self.x, self.y)
        for j in range(self.most):
            out = place == j
            if not bool(out.any()):
                continue
            rest = self._rest(~out)
            known = rest.met[self.y[out]]
            if bool(known.any()):
                yield Fold(rest, self.x[out][known], self.y[out][known])

    def _rest(self, stay: Bool[Tensor, " n"]) -> Statistics:
        weight = None if self.weight is None else self.weight[stay]
        return add_weighed(self.before, self.x[stay], self.y[stay], self.classes, weight)


def scene_folds(
    x: Float[Tensor, "n f"], y: Int[Tensor, " n"], folds: int = FOLDS
) -> Int[Tensor, " n"]:
    """(N,) the fold of each row: k-means within each class, a cluster a fold.

    It draws nothing: the first centre is the row furthest from the class's mean, each further one
    that furthest from the centres so far.

    Args:
        x: rows.
        y: their classes.
        folds: how many.

    >>> x = torch.tensor([[0.0], [0.1], [0.2], [5.0]])
    >>> scene_folds(x, torch.zeros(4).long(), folds=2).tolist()
    [0, 0, 0, 1]
    """
    place = torch.zeros_like(y)
    for turn, k in enumerate(y.unique().tolist()):
        rows = (y == k).nonzero()[:, 0]
        place[rows] = (_clusters(x[rows].float(), folds) + turn) % folds
    return place


def _clusters(x: Float[Tensor, "n f"], folds: int) -> Int[Tensor, " n"]:
    """(N,) the cluster of each row, the largest first."""
    x = x - x.mean(0)
    near = (x**2).sum(1)
    centres = x[:0]
    for _ in range(min(folds, len(x))):
        centres = torch.cat([centres, x[near.argmax()][None]])
        near = (
            torch.minimum(near, ((x - centres[-1]) ** 2).sum(1))
            if len(centres) > 1
            else ((x - centres[-1]) ** 2).sum(1)
        )
    label = torch.cdist(x, centres).argmin(1)
    for _ in range(ROUNDS):
        count = torch.bincount(label, minlength=len(centres))
        sums = torch.zeros_like(centres).index_add(0, label, x)
        centres = torch.where(count[:, None] > 0, sums / count.clamp_min(1)[:, None], centres)
        again = torch.cdist(x, centres).argmin(1)
        if bool((again == label).all()):
            break
        label = again
    order = torch.bincount(label, minlength=len(centres)).argsort(descending=True, stable=True)
    return order.argsort()[label]


def one_wrong(
    scores: Float[Tensor, "n k"], y: Int[Tensor, " n"]
) -> tuple[Float[Tensor, "m k"], Int[Tensor, " m"]]:
    """Rows held out; and where all are right one more, of the median margin, as its second class.

    Of n right ones of n, no more than n of n + 1 can be claimed.

    >>> scores = torch.tensor([[3.0, 0.0], [5.0, 1.0], [0.0, 9.0]])
    >>> one_wrong(scores, torch.tensor([0, 0, 1]))[1].tolist()
    [0, 0, 1, 1]
    >>> one_wrong(scores, torch.tensor([0, 1, 1]))[1].tolist()
    [0, 1, 1]
    """
    if scores.shape[1] < 2 or not bool((scores.argmax(1) == y).all()):
        return scores, y
    best = scores.topk(2, 1)
    margin = best.values[:, 0] - best.values[:, 1]
    middle = margin.argsort(stable=True)[len(margin) // 2]
    if not bool(margin[middle].isfinite()):
        return scores, y
    return torch.cat([scores, scores[middle][None]]), torch.cat([y, best.indices[middle, 1][None]])
