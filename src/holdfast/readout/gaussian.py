"""Shared-covariance Gaussian from streaming statistics: linear discriminant analysis without images."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from holdfast.readout.drift import fit_drift
from holdfast.readout.readout import Lesson, LinearReadout, Space
from holdfast.tally import add_by_class


class SharedGaussian(LinearReadout):
    """Classes as Gaussians with one covariance: argmax_k x.S^-1 m_k - 1/2 m_k.S^-1 m_k, equal priors.

    What is stored: K counts, K f sums and the f^2 second moment, in float64; adding tasks in any
    order gives the same statistics on a frozen network.

    Args:
        on: ``features`` or ``embedding``.
        shrinkage: share of the scaled identity in the covariance; None chooses it by the oracle
            approximating formula (Chen et al., 2010).
        drift: move the stored statistics with the network: a map from past to present features is
            fitted on each task's inputs (`fit_drift`).

    Source: streaming LDA (Hayes and Kanan, 2020); drift as in LDC and DPCR; THEORY 9.
    """

    def __init__(self, on: Space = "features", shrinkage: float | None = None, drift: bool = True):
        super().__init__(on)
        self.needs_past = drift
        self.name = "gaussian" if drift else "stale-gaussian"
        self.residuals: list[float | None] = []
        self.shrinkage = shrinkage
        self.statistics: dict[str, Tensor] = {}

    def fit(self, lesson: Lesson) -> None:
        """Add the task's rows to the counts, sums and second moment, and solve."""
        x, y = getattr(lesson.out, self.on).double(), lesson.task.train.y
        if self.needs_past and self.statistics and lesson.past_out is not None:
            self._move(getattr(lesson.past_out, self.on).double(), x)
        known, moment = self.statistics, x.T @ x
        self.statistics = {
            "count": add_by_class(known.get("count"), torch.ones_like(x[:, 0]), y, lesson.classes),
            "sum": add_by_class(known.get("sum"), x, y, lesson.classes),
            "moment": moment + known["moment"] if known else moment,
        }
        self.solved = self._solve()

    def _move(self, past: Tensor, now: Tensor) -> None:
        """Carry the stored means and the within-class scatter from past to present features."""
        count, (means, scatter) = self.statistics["count"], self._means_and_scatter()
        drift = fit_drift(past, now)
        means, scatter = drift(means), drift.covariance(scatter)
        moment = scatter + (means * count[:, None]).T @ means
        self.statistics = {"count": count, "sum": means * count[:, None], "moment": moment}
        self.residuals.append(drift.residual)

    def _means_and_scatter(self) -> tuple[Tensor, Tensor]:
        """(K, f) class means, and the (f, f) scatter about them, from the stored statistics."""
        count, sums, moment = (self.statistics[name] for name in ("count", "sum", "moment"))
        means = sums / count.clamp_min(1)[:, None]
        return means, moment - (means * count[:, None]).T @ means

    def covariance(self) -> tuple[Float[Tensor, "k f"], Float[Tensor, "f f"]]:
        """Class means and the shrunk within-class covariance."""
        means, scatter = self._means_and_scatter()
        count = self.statistics["count"]
        f, n = len(scatter), max(float(count.sum()) - len(count), 1.0)
        scatter = scatter / n
        share = self.shrinkage if self.shrinkage is not None else _oracle_share(scatter, n)
        ridge = scatter.diagonal().mean().clamp_min(1e-12) * torch.eye(f).to(scatter)
        return means, (1 - share) * scatter + (share + 1e-6) * ridge

    def _solve(self) -> dict[str, Tensor]:
        means, covariance = self.covariance()
        weight = torch.linalg.solve(covariance, means.T).T
        return {"weight": weight.float(), "bias": (-0.5 * (weight * means).sum(1)).float()}

    def get_extra_state(self) -> dict[str, Tensor]:
        """The statistics."""
        return self.statistics

    def set_extra_state(self, state: dict[str, Tensor]) -> None:
        """Take over statistics, and solve."""
        self.statistics = state
        self.solved = self._solve() if state else {}


def _oracle_share(scatter: Tensor, n: float) -> float:
    """Shrinkage of Chen, Wiesel, Eldar and Hero (2010), eq. 23, for n samples of width f."""
    f = scatter.shape[0]
    square, trace2 = float((scatter**2).sum()), float(scatter.trace() ** 2)
    return min(
        1.0, ((1 - 2 / f) * square + trace2) / max((n + 1 - 2 / f) * (square - trace2 / f), 1e-300)
    )
