"""Statistics: counts, means and scatters of classes, which grow as classes arrive and move with a map."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from holdfast.readout.drift import Drift
from holdfast.readout.scatter import Scatter, padded, scatter
from holdfast.tally import add_by_class


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
        """Of no class, for rows of a width (ConfigError for an unknown structure)."""
        like = torch.zeros(0) if like is None else like
        like = like.new_zeros(0, dtype=torch.float64)
        return Statistics(like, like.new_zeros(0, width), scatter(structure, width, rank, like))

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

    def add(self, x: Float[Tensor, "n f"], y: Int[Tensor, " n"], classes: int = 0) -> Statistics:
        """With the rows of a task; a class that comes again is merged."""
        x = x.double()
        classes = max(classes, len(self.count), int(y.max()) + 1)
        count = add_by_class(None, torch.ones_like(x[:, 0]), y, classes)
        mean = add_by_class(None, x, y, classes) / count.clamp_min(1)[:, None]
        return self.merge(Statistics(count, mean, self.scatter.of(x - mean[y], y, classes)))

    def merge(self, other: Statistics) -> Statistics:
        """Of the rows of both; the other has at least as many classes."""
        classes = len(other.count)
        a, b = padded(self.count, classes), other.count
        mean, total = padded(self.mean, classes), (a + b).clamp_min(1)
        gap = other.mean - mean
        both = self.scatter.plus(other.scatter)
        met = ((a > 0) & (b > 0)).nonzero()[:, 0]
        if len(met):  # the means themselves deviate from the common one
            rows = gap * (a * b / total).sqrt()[:, None]
            both = both.plus(self.scatter.of(rows[met], met, classes))
        merged = torch.where((a > 0)[:, None], mean + gap * (b / total)[:, None], other.mean)
        return Statistics(a + b, merged, both)

    def moved(self, drift: Drift) -> Statistics:
        """After the rows moved by a map: means through it, scatters through its linear part."""
        a = drift.matrix
        moved = self.scatter if a is None else self.scatter.moved(a)
        return replace(self, mean=drift(self.mean), scatter=moved)

    def state(self) -> dict[str, Tensor]:
        """Tensors by name."""
        return {"count": self.count, "mean": self.mean, **self.scatter.tensors()}

    @staticmethod
    def load(state: dict[str, Tensor], like: Statistics) -> Statistics:
        """From `state`, in the structure of another."""
        names = like.scatter.tensors()
        kept = type(like.scatter)(**{name: state[name] for name in names})
        return Statistics(state["count"], state["mean"], kept)
