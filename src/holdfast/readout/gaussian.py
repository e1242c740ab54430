"""Classes as Gaussians from streaming statistics: one covariance for all, or one for each."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from itertools import repeat

import torch
from jaxtyping import Float, Int
from torch import Tensor

from holdfast.errors import ConfigError
from holdfast.learner.learner import Output
from holdfast.metrics.calibration import fit_temperature
from holdfast.readout.drift import DriftName
from holdfast.readout.readout import Space
from holdfast.readout.scatter import Structure
from holdfast.readout.statistics import Statistics
from holdfast.readout.streaming import Streaming

DRAWS, ROWS = 50, 20_000  # drawn of a class for calibration, and in all
SCORES = 20_000_000  # of so many the temperature is fitted at most, over evenly spaced rows


class Gaussian(Streaming):
    """A streaming readout whose classes are Gaussians, so that it can draw and tell the unknown.

    Attributes:
        reach: (101,) percentiles of held-out rows' squared distance to the nearest class.
    """

    reach: Tensor

    def __init__(
        self, on: Space, drift: DriftName, structure: Structure, rank: int = 0, tukey: float = 1.0
    ):
        super().__init__(on, drift, structure, rank)
        if not tukey > 0:
            raise ConfigError(f"the exponent tukey must be positive, not {tukey}.")
        self.tukey = tukey
        self.reach = torch.zeros(0)

    def represent(self, x: Float[Tensor, "n f"]) -> Float[Tensor, "n f"]:
        """Tukey's power of each feature's absolute value, its sign kept."""
        x = x.double()
        return x if self.tukey == 1 else x.sign() * x.abs() ** self.tukey

    @abstractmethod
    def covariance(self, k: int) -> Float[Tensor, "f f"]:
        """The covariance by which class k is measured."""

    @abstractmethod
    def squared(self, x: Float[Tensor, "n f"]) -> Float[Tensor, "n k"]:
        """Squared Mahalanobis distance of represented rows to every class."""

    def draw(self, each: int, seed: int = 0) -> tuple[Float[Tensor, "n f"], Int[Tensor, " n"]]:
        """Pseudo-features and their classes: ``each`` of every class met, the same for one seed."""
        known = self.known
        met = known.met.nonzero()[:, 0]
        noise = torch.randn(
            len(met), each, known.mean.shape[1],
            generator=torch.Generator().manual_seed(seed), dtype=torch.float64,
        ).to(known.mean)  # fmt: skip
        rows = [
            known.mean[k] + noise[i] @ root.T
            for i, (k, root) in enumerate(zip(met.tolist(), self.roots(met.tolist())))
        ]
        return torch.cat(rows), met.repeat_interleave(each)

    def spread(self, k: int) -> Float[Tensor, "f f"]:
        """The covariance of class k's rows, of which draws are made."""
        return self.covariance(k)

    def roots(self, classes: list[int]) -> Iterator[Float[Tensor, "f f"]]:
        """The Cholesky factor of each class's spread."""
        return (torch.linalg.cholesky(self.spread(k)) for k in classes)

    def prepare(self, before: Statistics, x: Float[Tensor, "n f"], y: Int[Tensor, " n"]) -> None:
        """Distances of every fifth row of the task to Gaussians of the other rows."""
        held = torch.arange(len(x), device=x.device) % 5 == 4
        held = held if bool(held.any()) else ~held
        rest = ~held if not bool(held.all()) else held
        own, self.statistics = self.statistics, before.add(x[rest], y[rest])
        self.reach = torch.quantile(self._nearest(x[held]), torch.linspace(0, 1, 101).to(x))
        self.statistics = own

    def calibrate(self, x: Float[Tensor, "n f"], y: Int[Tensor, " n"]) -> None:
        """Temperature on the task's rows and draws of the other classes."""
        met = self.known.met.nonzero()[:, 0]
        drawn, of = self.draw(max(1, min(DRAWS, ROWS // len(met))))
        other = ~torch.isin(of, y)
        x, y = torch.cat([x, drawn[other]]), torch.cat([y, of[other]])
        thin = -(-len(x) * len(met) // SCORES)
        x, y = x[::thin], y[::thin].contiguous()
        self.temperature = fit_temperature(self.score(x)[:, met], torch.searchsorted(met, y))

    def _nearest(self, x: Tensor) -> Tensor:
        return self.squared(x)[:, self.known.met].amin(1)

    def distance(self, out: Output) -> Float[Tensor, " n"]:
        """(N,) squared Mahalanobis distance to the nearest class."""
        return self._nearest(self.read(out))

    def threshold(self, rate: float = 0.05) -> float:
        """The squared distance that a share ``rate`` of the last task's rows exceeded.

        An empirical quantile over every fifth training row, measured by statistics without them; no
        chi-square is assumed. The rate holds for such rows: inputs the network was not trained on,
        and old classes whose features have drifted, lie further out and are rejected more often.

        Raises:
            ConfigError: for a rate that is not between 0 and 1.
        """
        if not 0 < rate < 1:
            raise ConfigError(f"a false-alarm rate lies between 0 and 1, not at {rate}.")
        place = 100 * (1 - rate)
        low = min(int(place), 99)
        return float(self.reach[low] + (place - low) * (self.reach[low + 1] - self.reach[low]))

    def unknown(self, out: Output, rate: float = 0.05) -> Tensor:
        """(N,) whether an input is too far from every class to be any of them."""
        return self.distance(out) > self.threshold(rate)

    def get_extra_state(self) -> dict[str, Tensor]:
        """Everything that was learned, as tensors by name."""
        state = super().get_extra_state()
        return state | {"reach": self.reach} if state else state

    def set_extra_state(self, state: dict[str, Tensor]) -> None:
        """Take over what was learned."""
        super().set_extra_state(state)
        self.reach = state.get("reach", torch.zeros(0))


class SharedGaussian(Gaussian):
    """Classes as Gaussians with one covariance: argmax_k x.S^-1 m_k - 1/2 m_k.S^-1 m_k, equal priors.

    What is stored: K (1 + f) + f^2 + 101 numbers in float64; adding tasks in any order gives the
    same statistics on a frozen network.

    Args:
        on: ``features``, ``hidden`` or ``embedding``.
        shrinkage: share of the scaled identity in the covariance; None chooses it by the oracle
            approximating formula (Chen et al., 2010).
        tukey: exponent on each feature's absolute value, its sign kept; 1 leaves it.
        drift: how the stored statistics follow the network: none, ridge, low_rank, learned or
            translation.

    Source: streaming LDA (Hayes and Kanan, 2020); drift as in LDC and DPCR; THEORY 9.
    """

    name = "gaussian"

    def __init__(
        self,
        on: Space = "features",
        shrinkage: float | None = None,
        tukey: float = 1.0,
        drift: DriftName = "ridge",
    ):
        super().__init__(on, drift, "shared", tukey=tukey)
        self.shrinkage = shrinkage

    def covariance(self, k: int = 0) -> Float[Tensor, "f f"]:
        """The shrunk within-class covariance, the same for every class."""
        scatter, n = self.known.within(), self.known.freedom
        share = self.shrinkage if self.shrinkage is not None else _oracle_share(scatter, n)
        ridge = scatter.diagonal().mean().clamp_min(1e-12) * torch.eye(len(scatter)).to(scatter)
        return (1 - share) * scatter + (share + 1e-6) * ridge

    def roots(self, classes: list[int]) -> Iterator[Float[Tensor, "f f"]]:
        """The one factor, for every class."""
        return repeat(torch.linalg.cholesky(self.spread(0)), len(classes))

    def score(self, x: Float[Tensor, "n f"]) -> Float[Tensor, "n k"]:
        """Linear: the common -1/2 x.S^-1 x is left out."""
        weight = torch.linalg.solve(self.covariance(), self.known.mean.T).T
        return x @ weight.T - 0.5 * (weight * self.known.mean).sum(1)

    def squared(self, x: Float[Tensor, "n f"]) -> Float[Tensor, "n k"]:
        """Squared Mahalanobis distance to every class."""
        root = torch.linalg.cholesky(self.covariance())
        white, means = (
            torch.linalg.solve_triangular(root, rows.T, upper=False).T
            for rows in (x, self.known.mean)
        )
        return torch.cdist(white, means) ** 2


class ClassGaussian(Gaussian):
    """Each class as a Gaussian of its own: argmax_k -1/2 (x - m_k).S_k^-1 (x - m_k), equal priors.

    S_k = (scatter_k + pool S) / (n_k - 1 + pool) with S the mean covariance of all classes (Friedman,
    1989), so that one example is enough; then S_k + gamma1 v1 I + gamma2 v2 (1 - I), where v1 and v2
    are the mean of its diagonal and of the rest; then, if asked, S_k scaled to a correlation.
    Stored are K (1 + f) + 101 numbers and the structure's: K f^2, K f, or K (r f + 1).

    Args:
        on: ``features``, ``hidden`` or ``embedding``.
        gamma1: shrinkage of the diagonal.
        gamma2: shrinkage of the rest, at most gamma1.
        normalise: whether covariances become correlations, as published.
        determinant: whether -1/2 log |S_k| counts, as in quadratic discriminant analysis.
        tukey: exponent on each feature's absolute value, its sign kept; 1 leaves it.
        pool: how many examples the mean covariance of all classes counts for.
        structure: of the stored scatters: full, diagonal or low_rank.
        rank: of low_rank.
        drift: how the stored statistics follow the network.

    Raises:
        ConfigError: for a negative shrinkage, gamma2 above gamma1, or a structure that knows no classes.

    Source: Goswami et al., *FeCAM*, NeurIPS 2023; THEORY 9.
    """

    name = "class-gaussian"

    def __init__(
        self,
        on: Space = "features",
        gamma1: float = 0.1,
        gamma2: float = 0.0,
        normalise: bool = False,
        determinant: bool = True,
        tukey: float = 1.0,
        pool: float = 10.0,
        structure: Structure = "full",
        rank: int = 8,
        drift: DriftName = "ridge",
    ):
        super().__init__(on, drift, structure, rank, tukey)
        if structure in ("none", "shared"):
            raise ConfigError(
                f"class-gaussian keeps a scatter a class: structure={structure} must be full, "
                "diagonal or low_rank."
            )
        if not 0 <= gamma2 <= gamma1 or pool < 0:
            raise ConfigError(
                "gamma1, gamma2 and pool must be at least 0 and gamma2 at most gamma1, for covariances "
                f"stay positive by that: not {gamma1}, {gamma2} and {pool}."
            )
        self.gamma1, self.gamma2, self.pool = gamma1, gamma2, pool
        self.normalise, self.determinant = normalise, determinant

    def spread(self, k: int, within: Tensor | None = None) -> Float[Tensor, "f f"]:
        """Pooled and shrunk, in the rows' own units; ``within`` may be given, to compute it once."""
        known = self.known
        within = known.within() if within is None else within
        n = float(known.count[k]) - 1 + self.pool
        own = (known.scatter.matrix(k) + self.pool * within) / max(n, 1.0)
        eye = torch.eye(len(own)).to(own)
        floor = 1e-6 * within.diagonal().mean().clamp_min(1e-12)
        v1 = own.diagonal().mean()
        v2 = (own.sum() - own.trace()) / max(len(own) * (len(own) - 1), 1)
        return own + (self.gamma1 * v1 + floor) * eye + self.gamma2 * v2 * (1 - eye)

    def covariance(self, k: int, within: Tensor | None = None) -> Float[Tensor, "f f"]:
        """What distances to class k are measured by."""
        spread = self.spread(k, within)
        if self.normalise:
            deviation = spread.diagonal().sqrt()
            spread = spread / deviation[:, None] / deviation
        return spread

    def score(self, x: Float[Tensor, "n f"]) -> Float[Tensor, "n k"]:
        """-1/2 squared distance, and -1/2 log determinant if it counts."""
        return self._measured(x, self.determinant)

    def squared(self, x: Float[Tensor, "n f"]) -> Float[Tensor, "n k"]:
        """Squared Mahalanobis distance to every class."""
        return -2 * self._measured(x, False)

    def _measured(self, x: Tensor, determinant: bool) -> Tensor:
        scores = x.new_full((len(x), len(self.known.count)), -torch.inf)
        within = self.known.within()
        for k in self.known.met.nonzero()[:, 0].tolist():
            root = torch.linalg.cholesky(self.covariance(k, within))
            white = torch.linalg.solve_triangular(root, (x - self.known.mean[k]).T, upper=False)
            scores[:, k] = -0.5 * (white**2).sum(0)
            if determinant:
                scores[:, k] -= root.diagonal().log().sum()
        return scores


def _oracle_share(scatter: Tensor, n: float) -> float:
    """Shrinkage of Chen, Wiesel, Eldar and Hero (2010), eq. 23, for n samples of width f."""
    f = scatter.shape[0]
    square, trace2 = float((scatter**2).sum()), float(scatter.trace() ** 2)
    return min(
        1.0, ((1 - 2 / f) * square + trace2) / max((n + 1 - 2 / f) * (square - trace2 / f), 1e-300)
    )
