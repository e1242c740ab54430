"""AnaCP: a regression from lifted rows to prototypes that were drawn apart, and a ridge on its answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from holdfast.core.errors import ConfigError
from holdfast.core.numerics import solve_positive
from holdfast.loss.checks import require_option
from holdfast.readout.decision import Decision
from holdfast.readout.lift import LiftedRows, lift_width, lifted_rows
from holdfast.readout.readout import Space, register
from holdfast.readout.streaming import Streaming
from holdfast.statistics.class_statistics import Statistics
from holdfast.statistics.covariance import SharedCovariance

Targets = Literal["again", "inverse"]


@dataclass(frozen=True)
class Contrasted(Decision):
    """gelu(o R') V + b of o = the mean over lifts of unit(z_h theta_h).

    Attributes:
        theta: (H, M, f) regressions to the targets.
        second: (f, M) R'.
        weight: (M, K) V.
        bias: (K,) b.
    """

    theta: Float[Tensor, "h m f"]
    second: Float[Tensor, "f m"]
    weight: Float[Tensor, "m k"]
    bias: Float[Tensor, " k"]

    def __call__(self, x: Tensor) -> Tensor:
        """Of rows [x, z]."""
        theta, second, weight, bias = (t.to(x) for t in vars(self).values())
        z = x[:, theta.shape[2] :]
        return functional.gelu(answers(z, theta) @ second) @ weight + bias

    def network(self) -> nn.Module:
        """The same in single precision."""
        return ContrastedRows(self)


class ContrastedRows(nn.Module):
    """A `Contrasted` decision as a network."""

    def __init__(self, of: Contrasted):
        super().__init__()
        for name, value in vars(of).items():
            self.register_buffer(name, value.detach().float().cpu().clone())

    def forward(self, x: Tensor) -> Tensor:
        """(N, f + H M) to (N, K)."""
        return Contrasted(self.theta, self.second, self.weight, self.bias)(x)  # type: ignore[arg-type]


def answers(z: Float[Tensor, "n hm"], theta: Float[Tensor, "h m f"]) -> Float[Tensor, "n f"]:
    """The mean over lifts of unit(z_h theta_h)."""
    parts = zip(z.split(theta.shape[1], 1), theta)
    return torch.stack([functional.normalize(part @ t, dim=1) for part, t in parts]).mean(0)


@register("anacp")
class ContrastiveProjection(Streaming):
    """Unit rows, lifted, are regressed on targets drawn apart; a ridge of one-hots reads the answers.

    Targets: with C = (m - mean m) S^-1/2 = U s V^T, t = U (s + 1) V^T S^-1/2 + mean m at length 1, as the
    public code has it (``again``: it whitens twice); ``inverse`` takes S^1/2 in its place, back to the
    rows'
    own space. theta = (sum z^T z + strength I)^-1 sum_k n_k z_k^T t_k; then a ridge of one-hots on
    gelu(o R'),
    fitted to draws from N(m_k, S). The network stands still: no drift map is fitted. Stored are K (1 + f
    + H M)
    + (f + H M)^2 + 202 numbers, the second moments of rows and lifts together.

    Args:
        on: ``features``, ``hidden`` or ``embedding``.
        width: M; 0 takes `lift_width`.
        lifts: H.
        targets: ``again`` or ``inverse``.
        push: what is added to the singular values: 0 gives the rule of a shared Gaussian as a target.
        strength: of both regressions, in squares of unit rows.
        draws: of each class, for the second.
        seed: of lifts and draws.

    Raises:
        ConfigError: for a number that is too small, or other targets.

    Source: AnaCP (Momeni et al., 2025), with one lift in place of three, and a shrunk S; docs/theory.md,
    section 9
    """

    label = "anacp"

    def __init__(
        self,
        on: Space = "features",
        width: int = 0,
        lifts: int = 1,
        targets: Targets = "again",
        push: float = 1.0,
        strength: float = 100.0,
        draws: int = 100,
        seed: int = 0,
    ):
        super().__init__(on, "none", "shared")
        require_option("targets", targets, get_args(Targets))
        if width < 0 or lifts < 1 or draws < 1 or not strength > 0:
            raise ConfigError(
                "anacp needs a width, lifts and draws of at least 1 and a positive strength, not "
                f"{width}, {lifts}, {draws} and {strength}."
            )
        self.width, self.lifts, self.draws, self.seed = width, lifts, draws, seed
        self.targets, self.push, self.strength = targets, push, strength
        self._inputs = 0  # f

    def representation(self, width: int) -> LiftedRows:
        """Unit rows and their lifts."""
        self._inputs = width
        return lifted_rows(width, self.width or lift_width(width), self.lifts, self.seed)

    @property
    def measured(self) -> int:
        """One fold: a solution is dear."""
        return 1

    def solve(self, statistics: Statistics) -> Contrasted:
        """Both regressions."""
        f = self._inputs
        met = statistics.met.nonzero()[:, 0]
        mean = statistics.mean[met]
        whole = statistics.scatter.pooled()
        gram = (whole + (statistics.count[:, None] * statistics.mean).T @ statistics.mean)[f:, f:]
        rows = replace_rows(statistics, whole[:f, :f], f)
        covariance = SharedCovariance().matrix(rows)
        targets = drawn_apart(mean[:, :f], covariance, self.targets, self.push)
        products = (statistics.count[met, None] * mean[:, f:]).T @ targets
        m = (statistics.mean.shape[1] - f) // self.lifts
        pieces = [slice(h * m, (h + 1) * m) for h in range(self.lifts)]
        solved = [regression(gram[p, p], products[p], self.strength) for p in pieces]
        theta = torch.stack(solved)
        return self._second(rows, met, covariance, theta)

    def get_extra_state(self) -> dict[str, Tensor]:
        """Everything that was learned, as tensors by name."""
        state = super().get_extra_state()
        return state | {"inputs": torch.tensor(self._inputs)} if state else state

    def set_extra_state(self, state: dict[str, Tensor]) -> None:
        """Take over what was learned."""
        super().set_extra_state(state)
        self._inputs = int(state["inputs"]) if state else 0

    def _second(
        self, rows: Statistics, met: Tensor, covariance: Tensor, theta: Tensor
    ) -> Contrasted:
        """The ridge of one-hots on gelu(o R'), by draws."""
        f, m = theta.shape[2], theta.shape[1]
        generator = torch.Generator().manual_seed(self.seed + 1)
        second = torch.randn((f, m), generator=generator, dtype=torch.float64).to(theta)
        noise = torch.randn((len(met), self.draws, f), generator=generator, dtype=torch.float64)
        root = torch.linalg.cholesky(covariance)
        drawn = (rows.mean[met][:, None] + noise.to(theta) @ root.T).flatten(0, 1)
        lift = lifted_rows(f, m, self.lifts, self.seed).beside
        h = functional.gelu(answers(lift(functional.normalize(drawn, dim=1)), theta) @ second)
        y = met.repeat_interleave(self.draws)
        target = functional.one_hot(y, len(rows.count)).to(h)
        middle, share = h.mean(0), target.mean(0)
        away = h - middle
        weight = regression(away.T @ away, away.T @ (target - share), self.strength)
        return Contrasted(theta, second, weight, share - middle @ weight)


def replace_rows(statistics: Statistics, pooled: Float[Tensor, "f f"], width: int) -> Statistics:
    """Statistics of the first columns alone."""
    scatter = type(statistics.scatter)(pooled)  # type: ignore[call-arg]
    return Statistics(statistics.count, statistics.mean[:, :width], scatter)


def regression(
    gram: Float[Tensor, "m m"], products: Float[Tensor, "m k"], strength: float
) -> Float[Tensor, "m k"]:
    """(A + strength I)^-1 P."""
    matrix = gram.clone()
    matrix.diagonal().add_(strength)
    return solve_positive(matrix, products)


def drawn_apart(
    means: Float[Tensor, "k f"],
    covariance: Float[Tensor, "f f"],
    targets: str = "again",
    push: float = 1.0,
) -> Float[Tensor, "k f"]:
    """U (s + push) V^T S^-1/2 (or S^1/2) + mean m at length 1, U s V^T = (m - mean m) S^-1/2.

    Args:
        means: of the classes.
        covariance: S.
        targets: ``again`` whitens once more, ``inverse`` takes the whitening back.
        push: added to the singular values that are not 0.
    """
    middle = means.mean(0)
    values, vectors = torch.linalg.eigh(covariance)
    root = lambda power: (vectors * values.clamp_min(1e-12) ** power) @ vectors.T
    u, s, v = torch.linalg.svd((means - middle) @ root(-0.5), full_matrices=False)
    s = torch.where(
        s > 1e-9 * s.max(), s + push, s
    )  # K means about their mean span K - 1 directions
    apart = (u * s) @ v @ root(-0.5 if targets == "again" else 0.5)
    return functional.normalize(apart + middle, dim=1)
