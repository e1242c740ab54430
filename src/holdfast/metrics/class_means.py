"""Class means and spreads of some rows, in float64: what most figures of a representation begin with."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from holdfast.core.numerics import class_sums, in_float64


def differ(x: Float[Tensor, "n f"]) -> bool:
    """Whether some rows differ by more than rounding.

    >>> differ(torch.full((3, 2), 0.1)), differ(torch.eye(2))
    (False, True)
    """
    if not x.numel():
        return False
    return bool((x - x.mean(0)).abs().max() > 1e-14 * x.abs().max())


@dataclass(frozen=True)
class ClassMeans:
    """The classes among some rows, in the order of their numbers.

    Attributes:
        x: (N, f) the rows in float64.
        place: (N,) the place of each row's class among the K classes.
        labels: (K,) the number of each class.
        counts: (K,) rows of each.
        means: (K, f) M_c.
        spreads: (K,) v_c, the mean of ||x - M_c||^2 over the rows of a class.
    """

    x: Float[Tensor, "n f"]
    place: Int[Tensor, " n"]
    labels: Int[Tensor, " k"]
    counts: Int[Tensor, " k"]
    means: Float[Tensor, "k f"]
    spreads: Float[Tensor, " k"]

    @classmethod
    def of(cls, x: Float[Tensor, "n f"], y: Int[Tensor, " n"]) -> ClassMeans:
        """The classes of rows (N, f) with labels (N,).

        Args:
            x: features.
            y: their classes, any whole numbers.

        >>> some = ClassMeans.of(torch.tensor([[0.0], [2.0], [5.0]]), torch.tensor([3, 3, 7]))
        >>> some.labels.tolist(), some.means.tolist(), some.spreads.tolist()
        ([3, 7], [[1.0], [5.0]], [1.0, 0.0])
        """
        x, y = in_float64(x), y.to(in_float64(x).device)
        labels, place, counts = y.unique(return_inverse=True, return_counts=True)
        size = len(labels)
        means = class_sums(None, x, place, size) / counts[:, None]
        spreads = class_sums(None, (x - means[place]).square().sum(1), place, size) / counts
        return cls(x, place, labels, counts, means, spreads)

    @property
    def lacks(self) -> str:
        """What keeps these rows from a figure of within against between; empty if nothing does."""
        if len(self.labels) < 2:
            return f"it takes two classes, and there {'is one' if len(self.labels) else 'is none'}"
        if int(self.counts.min()) < 2:
            alone = int(self.labels[int(self.counts.argmin())])
            return f"class {alone} has one row, and a spread takes two"
        return ""

    def places(self, classes: tuple[int, ...]) -> Int[Tensor, " m"]:
        """Where some classes stand among these; those without rows are left out."""
        wanted = torch.tensor(classes, dtype=self.labels.dtype, device=self.labels.device)
        return torch.isin(self.labels, wanted).nonzero()[:, 0]
