"""Far: how far outside all that was learned an input lies, for scores that grow along a line."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from holdfast.readout.decision import Masked
from holdfast.statistics.class_statistics import Statistics

FAR = 9.0  # mean squared distances from the centre: what was learned lies well inside
MOST = 1.0  # what a regression of ones and zeros says of a row that is surely of a class


class Outside(nn.Module):
    """By how much an input lies outside the ball that holds what was learned; 0 inside.

        max(0, |x - m|^2 / (9 s^2) - 1)

    m is the mean of all rows, and s^2 the mean of their squared distances from it. A linear score
    knows no distance: far out along a class's weights it is as large as one likes.

    Args:
        statistics: of what was learned.
    """

    centre: Tensor
    radius: Tensor

    def __init__(self, statistics: Statistics):
        super().__init__()
        square = statistics.spread().sum()
        self.register_buffer("centre", statistics.centre())
        self.register_buffer("radius", FAR * square.clamp_min(1e-30))

    def forward(self, x: Float[Tensor, "n f"]) -> Float[Tensor, " n"]:
        """(N, f) to (N,)."""
        return ((x - self.centre).square().sum(1) / self.radius - 1).clamp_min(0)


def strange(outside: Float[Tensor, " n"], scores: Float[Tensor, "n k"]) -> Float[Tensor, " n"]:
    """(N,) how far outside, less the largest score, which counts for 1 at most.

    Args:
        outside: (N,) by `Outside`.
        scores: (N, K) regressed on ones and zeros; -inf of classes that never came.
    """
    return outside - scores.amax(1).clamp_max(MOST)


class Strangeness(nn.Module):
    """`strange` as a network.

    Args:
        scores: (N, f) to (N, K), regressed on ones and zeros.
        statistics: of what was learned.
    """

    def __init__(self, scores: nn.Module, statistics: Statistics):
        super().__init__()
        self.scores, self.masked = scores, Masked(statistics.met)
        self.outside = Outside(statistics)

    def forward(self, x: Float[Tensor, "n f"]) -> Float[Tensor, " n"]:
        """(N, f) to (N,)."""
        return strange(self.outside(x), self.masked(self.scores(x)))
