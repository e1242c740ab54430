"""A readout: the nearest mean of the features, each class a running mean."""

import torch
from torch import Tensor

from holdfast.readout import FitContext, Readout


class Centroid(Readout):
    """argmax_k -||h(x) - m_k||^2, m_k the mean of all features of class k seen so far.

    K (1 + f) numbers are kept, and no image.
    """

    label = "centroid"

    def __init__(self):
        super().__init__("features")
        self.kept: dict[str, Tensor] = {}

    def fit(self, context: FitContext) -> None:
        """Add the task's rows to the sums; a class that comes again goes on."""
        x, y = self.select(context.out).double(), context.task.train.y
        total, count = x.new_zeros(context.classes, x.shape[1]), x.new_zeros(context.classes)
        if self.kept:
            total[: len(self.kept["total"])] = self.kept["total"]
            count[: len(self.kept["count"])] = self.kept["count"]
        total.index_add_(0, y, x)
        count.index_add_(0, y, torch.ones_like(x[:, 0]))
        self.kept = {"total": total, "count": count}

    def scores(self, out) -> Tensor:
        """(N, K) the negative squared distances."""
        means = self.kept["total"] / self.kept["count"][:, None].clamp_min(1)
        x = self.select(out).double()
        return -(x[:, None] - means).square().sum(2).float()

    def get_extra_state(self) -> dict[str, Tensor]:
        """The sums and counts: what is stored with a model."""
        return self.kept

    def set_extra_state(self, state: dict[str, Tensor]) -> None:
        """Take them over."""
        self.kept = dict(state)
