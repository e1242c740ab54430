"""Statistics: counts, means and scatters of classes, which grow as classes arrive and move with a map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from holdfast.core.errors import ConfigError, DataError
from holdfast.core.numerics import class_sums
from holdfast.statistics.deviations import EXACT
from holdfast.statistics.kinds import empty_scatter
from holdfast.statistics.maps import Drift
from holdfast.statistics.scatter import Scatter, padded

SAME = 1e-6  # share of the rows' size by which the mean of the same rows may differ


@dataclass(frozen=True)
class Statistics:
    """What is known of the rows of K classes, none of which is kept; a value, in float64.

    Adding rows in any order and any portions gives the same statistics (Chan, Golub, LeVeque, 1983).

    Attributes:
        count: (K,) rows of each class; 0 for one that is yet to come.
        mean: (K, f) of them.
        scatter: of their deviations from the mean.

    >>> x, y = torch.tensor([[0.0, 1.0], [2.0, 1.0]]), torch.tensor([1, 1])
    >>> s = Statistics.empty(2, "diagonal").add(x, y)
    >>> s.count.tolist(), s.mean[1].tolist(), s.scatter.matrix(1).diagonal().tolist()
    ([0.0, 2.0], [1.0, 1.0], [2.0, 0.0])
    """

    count: Float[Tensor, " k"]
    mean: Float[Tensor, "k f"]
    scatter: Scatter

    @staticmethod
    def empty(
        width: int, structure: str = "shared", rank: int = 0, like: Tensor | None = None
    ) -> Statistics:
        """Of no class, for rows of a width.

        Args:
            width: f.
            structure: the kind of scatter, see `empty_scatter`.
            rank: of a ``low_rank`` scatter.
            like: a tensor on the device to use; None is the CPU.

        Raises:
            ConfigError: for an unknown structure, or a rank below 1 where one is needed.
        """
        like = torch.zeros(0) if like is None else like
        like = like.new_zeros(0, dtype=torch.float64)
        return Statistics(
            like, like.new_zeros(0, width), empty_scatter(structure, width, rank, like)
        )

    @property
    def met(self) -> Tensor:
        """(K,) whether a class has any row."""
        return self.count > 0

    @property
    def freedom(self) -> float:
        """Rows less the classes met, at least 1: what scatters are divided by."""
        return max(float(self.count.sum()) - float(self.met.sum()), 1.0)

    def within(self) -> Float[Tensor, "f f"]:
        """The pooled within-class covariance."""
        return self.scatter.pooled() / self.freedom

    def centre(self) -> Float[Tensor, " f"]:
        """The mean of all rows."""
        return self.count / self.count.sum().clamp_min(1) @ self.mean

    def spread(self) -> Float[Tensor, " f"]:
        """The variance of each feature over all rows."""
        n = self.count.sum().clamp_min(1)
        between = self.count @ (self.mean - self.centre()) ** 2
        return (self.scatter.pooled().diagonal() + between) / n

    def add(self, x: Float[Tensor, "n f"], y: Int[Tensor, " n"], classes: int = 0) -> Statistics:
        """With the rows of a task; a class that comes again is merged."""
        x = x.double()
        classes = max(classes, len(self.count), int(y.max()) + 1 if len(y) else 0)
        count = class_sums(None, torch.ones_like(x[:, 0]), y, classes)
        mean = class_sums(None, x, y, classes) / count.clamp_min(1)[:, None]
        return self.merge(Statistics(count, mean, self.scatter.of(x - mean[y], y, classes)))

    def merge(self, other: Statistics) -> Statistics:
        """Of the rows of both; the other has at least as many classes."""
        classes = len(other.count)
        a, b = padded(self.count, classes), other.count
        mean, total = padded(self.mean, classes), torch.where(a + b > 0, a + b, 1.0)
        gap = other.mean - mean
        both = self.scatter.plus(other.scatter)
        met = ((a > 0) & (b > 0)).nonzero()[:, 0]
        if len(met):  # the means themselves deviate from the common one
            rows = gap * (a * b / total).sqrt()[:, None]
            both = both.plus(self.scatter.of(rows[met], met, classes))
        merged = torch.where((a > 0)[:, None], mean + gap * (b / total)[:, None], other.mean)
        return Statistics(a + b, merged, both)

    def remove(
        self, x: Float[Tensor, "n f"], y: Int[Tensor, " n"], slack: float = EXACT
    ) -> Statistics:
        """Without some of its rows, as if they had never come; the inverse of `add`.

        n' = n - n_F, m' = (n m - n_F m_F) / n', S' = S - S_F - (n n_F / n') (m - m_F)^T (m - m_F).
        A class of which all rows go is as if never met, and keeps its number.

        Args:
            x: rows that were added, as they were then.
            y: the class of each.
            slack: share of the trace by which an eigenvalue of S' may fall below 0, and is set to 0.

        Raises:
            DataError: for rows that were not learned.
            ConfigError: for a ``low_rank`` scatter.

        Source: docs/theory.md, section 9
        """
        x, classes = x.double(), len(self.count)
        if len(y) and int(y.max()) >= classes:
            raise DataError(f"class {int(y.max())} was never learned: there are {classes} classes.")
        gone = class_sums(None, torch.ones_like(x[:, 0]), y, classes)
        rest = self.count - gone
        for k in (rest < 0).nonzero()[:, 0].tolist():
            raise DataError(
                f"class {k} has {int(self.count[k])} rows, so {int(gone[k])} cannot be removed."
            )
        centre = class_sums(None, x, y, classes) / gone.clamp_min(1)[:, None]
        gap, left = self.mean - centre, rest.clamp_min(1)
        part = ((gone > 0) & (rest > 0)).nonzero()[:, 0]
        ends = gap[part] * (self.count * gone / left).sqrt()[part, None]
        rows, of = torch.cat([x - centre[y], ends]), torch.cat([y, part])
        mean = torch.where((rest > 0)[:, None], self.mean + gap * (gone / left)[:, None], 0.0)
        return Statistics(rest, mean, self.scatter.less(rows, of, slack))

    def remove_class(
        self, k: int, x: Float[Tensor, "n f"] | None = None, slack: float = EXACT
    ) -> Statistics:
        """As if a class had never come; it keeps its number (`select` renumbers).

        Args:
            k: the class.
            x: all of its rows, which only a ``shared`` scatter needs.
            slack: as of `remove`.

        Raises:
            ConfigError: for a ``shared`` scatter without rows.
            DataError: for rows that are not those of the class.
        """
        if x is not None:
            self.require_rows(k, x)
        gone = torch.arange(len(self.count), device=self.count.device) == k
        if self.scatter.by_class or not bool(self.met[k]):
            kept = [-1 if c == k else c for c in range(len(self.count))]
            rest = self.scatter.grouped(kept, len(kept))
        elif x is None:
            raise ConfigError(
                "structure=shared keeps one scatter for all classes, in which a class cannot be taken "
                "apart: give all of its rows, or keep structure=full or factor."
            )
        else:
            y = torch.full_like(x[:, 0], k, dtype=torch.long)
            rest = self.scatter.less(x.double() - self.mean[k], y, slack)
        mean = self.mean.masked_fill(gone[:, None], 0)
        return Statistics(self.count.masked_fill(gone, 0), mean, rest)

    def require_rows(self, k: int, x: Float[Tensor, "n f"], tolerance: float = SAME) -> None:
        """Refuse rows that are not those of a class, by their number and mean (DataError)."""
        count = int(self.count[k])
        if len(x) != count:
            raise DataError(
                f"class {k} was learned from {count} rows, and {len(x)} were brought to remove it: "
                "bring exactly those that were learned."
            )
        x = x.double() if count else self.mean[k, None]
        gap = (x.mean(0) - self.mean[k]).norm()
        if not float(gap) <= tolerance * float(x.norm(dim=1).mean()):
            raise DataError(
                f"the rows brought to remove class {k} have another mean than those learned (by "
                f"{float(gap):.1e}): bring exactly those that were learned."
            )

    def regroup(self, places: Sequence[int], classes: int) -> Statistics:
        """Class k as part of class places[k]; those that share a place are joined, as one of all rows.

        Args:
            places: the new number of each class; -1 leaves it out.
            classes: how many there are then.

        Raises:
            ConfigError: for a class left out of a ``shared`` scatter.
        """
        out = [k for k, place in enumerate(places) if place < 0 and bool(self.met[k])]
        if out and not self.scatter.by_class:
            raise ConfigError(
                "structure=shared keeps one scatter for all classes, so a choice of them has none: "
                "remove the others with their rows, or keep structure=full or factor."
            )
        place = torch.tensor(places, dtype=torch.long, device=self.count.device)
        stay = ((place >= 0) & self.met).nonzero()[:, 0]
        to, n = place[stay], self.count[stay, None]
        count = class_sums(None, n[:, 0], to, classes)
        mean = class_sums(None, self.mean[stay] * n, to, classes) / count.clamp_min(1)[:, None]
        alone = torch.bincount(to, minlength=classes)[to] == 1
        mean[to[alone]] = self.mean[stay[alone]]  # to the bit
        scatter = self.scatter.grouped(places, classes)
        if not bool(alone.all()):  # the means themselves deviate from the common one
            rows = (self.mean[stay] - mean[to]) * n.sqrt()
            scatter = scatter.plus(scatter.of(rows[~alone], to[~alone], classes))
        return Statistics(count, mean, scatter)

    def select(self, classes: Sequence[int]) -> Statistics:
        """Some classes alone, numbered in this order; all of them in another order permute.

        Raises:
            ConfigError: for a class left out of a ``shared`` scatter.
        """
        place = {k: i for i, k in enumerate(classes)}
        return self.regroup([place.get(k, -1) for k in range(len(self.count))], len(classes))

    def join(self, other: Statistics, places: Sequence[int]) -> Statistics:
        """Of the rows of both, class k of the other being class places[k] here, or a new one."""
        classes = max(len(self.count), 1 + max(places, default=-1))
        return self.merge(other.regroup(places, classes))

    def moved(self, drift: Drift) -> Statistics:
        """After the rows moved: by the map (`Drift.carry`), and by its `Drift.noise`."""
        mean, scatter = drift.carry(self)
        return replace(self, mean=mean, scatter=drift.widened(scatter, self.count))

    def state(self) -> dict[str, Tensor]:
        """Tensors by name."""
        return {"count": self.count, "mean": self.mean, **self.scatter.tensors()}

    @staticmethod
    def load(state: dict[str, Tensor], like: Statistics) -> Statistics:
        """From `state`, with the kind of scatter of another."""
        names = like.scatter.tensors()
        stored = type(like.scatter)(**{name: state[name] for name in names})
        return Statistics(state["count"], state["mean"], stored)
