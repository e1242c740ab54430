"""KLDA: Gaussians of one covariance among random Fourier features, whose kernel's width is chosen once."""

from __future__ import annotations

from functools import lru_cache

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from holdfast.core.errors import ConfigError
from holdfast.readout.contexts import FitContext
from holdfast.readout.gaussian import SharedGaussian, solve_gaussian
from holdfast.readout.held_out import HeldOut
from holdfast.readout.lift import FourierFeatures, lift_width
from holdfast.readout.mixture import Mixed
from holdfast.readout.readout import Space, register
from holdfast.statistics.class_statistics import Statistics
from holdfast.statistics.covariance import SharedCovariance

SHARPNESSES = tuple(2.0**power for power in (0, -1, 1, -2, 2, -3, 3, -4, 4))  # the usual one first
TRIED = 512  # features at most of the lifts that are compared
COMPARED = 500  # rows at most whose distances are looked at
ENOUGH = 20  # rows held out below which nothing is chosen

kernel_features = lru_cache(maxsize=4)(FourierFeatures)


@register("klda")
class KernelGaussian(SharedGaussian):
    """`gaussian` among M Fourier features, on a network that stands still.

    E phi(x).phi(y) = exp(-s ||x - y||^2) with
    s = c / (median squared distance of rows), c in {2^-4 .. 2^4} chosen when the first task ends: the one
    with which most rows held out are right, on a lift of at most 512 features. It stays, for statistics of
    one lift cannot become those of another. No drift map is fitted: with M features none could be. Stored
    are K (1 + M) + M^2 + 202 numbers.

    Args:
        on: ``features``, ``hidden`` or ``embedding``.
        shrinkage: as for `SharedGaussian`.
        width: M; 0 takes `lift_width`.
        sharpness: c; None chooses it.
        seed: of the lift.

    Attributes:
        chosen: s in use; None before the first task.

    Raises:
        ConfigError: for a width below 0, or a sharpness that is not positive.

    Source: KLDA (Momeni et al., 2025), with shrinkage in place of a pseudo-inverse and one lift in place of
        an ensemble; docs/theory.md, section 9
    """

    label = "klda"
    lasting = ("kernel",)  # by the first task's rows

    def __init__(
        self,
        on: Space = "features",
        shrinkage: float | None = None,
        width: int = 0,
        sharpness: float | None = None,
        seed: int = 0,
    ):
        super().__init__(on, shrinkage, drift="none")
        if width < 0:
            raise ConfigError(f"Fourier features need a width of at least 1, not {width}.")
        if sharpness is not None and not sharpness > 0:
            raise ConfigError(f"the sharpness of a kernel must be positive, not {sharpness}.")
        self.width, self.sharpness, self.seed = width, sharpness, seed
        self.chosen: float | None = None

    def representation(self, width: int) -> nn.Module:
        """The lift (ConfigError before the first task)."""
        if self.chosen is None:
            raise ConfigError(f"the readout {self.name} has learned no task yet.")
        return kernel_features(width, self.width or lift_width(width), self.seed, self.chosen)

    def fit(self, context: FitContext) -> None:
        """Choose the kernel if there is none, and take the task in."""
        if self.chosen is None:
            x = self.select(context.out).double()
            y = context.task.train.y.to(x.device)
            unit = 1 / median_distance(x)
            self.chosen = unit * (self.sharpness or self._sharpest(x, y, unit))
        super().fit(context)

    def _sharpest(self, x: Float[Tensor, "n f"], y: Int[Tensor, " n"], unit: float) -> float:
        """The share of SHARPNESSES by which most rows held out are right; the first for equals."""
        count = min(self.width or lift_width(x.shape[1]), TRIED)
        right = {}
        for sharpness in SHARPNESSES:
            z = FourierFeatures(x.shape[1], count, self.seed, unit * sharpness)(x)
            heldout = HeldOut(Statistics.empty(count, "shared", like=z), z, y, int(y.max()) + 1, 2)
            if heldout.count < ENOUGH:
                return SHARPNESSES[0]
            right[sharpness] = sum(
                int((fold.scores(solve_gaussian(fold.rest, self.spread)).argmax(1) == fold.y).sum())
                for fold in heldout.folds
            )
        return max(SHARPNESSES, key=lambda s: right[s])

    @property
    def measured(self) -> int:
        """One fold: a solution of M features is dear."""
        return 1

    @property
    def spread(self) -> SharedCovariance:
        """The shrunk within-class covariance of the lift."""
        return SharedCovariance(self.shrinkage)

    def get_extra_state(self) -> dict[str, Tensor]:
        """Everything that was learned, as tensors by name."""
        state = super().get_extra_state()
        return (
            state | {"kernel": torch.tensor(self.chosen, dtype=torch.float64)} if state else state
        )

    def set_extra_state(self, state: dict[str, Tensor]) -> None:
        """Take over what was learned."""
        super().set_extra_state(state)
        self.chosen = float(state["kernel"]) if state else None


@register("klda-ensemble")
class KernelEnsemble(Mixed):
    """The mean of the probabilities of `klda` with several lifts, each of a seed of its own.

    Each is calibrated by itself. Stored are the numbers of ``seeds`` readouts.

    Args:
        on: ``features``, ``hidden`` or ``embedding``.
        shrinkage: as for `SharedGaussian`.
        width: as for `KernelGaussian`.
        sharpness: as for `KernelGaussian`.
        seeds: how many.
        seed: the first of them.

    Raises:
        ConfigError: for no seed; as of `KernelGaussian`.

    Source: KLDA (Momeni et al., 2025), whose ensemble is the mean softmax of minus distances
    """

    label = "klda-ensemble"

    def __init__(
        self,
        on: Space = "features",
        shrinkage: float | None = None,
        width: int = 0,
        sharpness: float | None = None,
        seeds: int = 3,
        seed: int = 0,
    ):
        each = range(seed, seed + seeds)
        super().__init__([KernelGaussian(on, shrinkage, width, sharpness, s) for s in each])
        self.on: Space = on
        self.shrinkage, self.width, self.sharpness = shrinkage, width, sharpness
        self.seeds, self.seed = seeds, seed


def median_distance(x: Float[Tensor, "n f"]) -> float:
    """The median squared distance of pairs of rows, at most `COMPARED` of them evenly taken; 1 if it is 0.

    >>> median_distance(torch.tensor([[0.0], [1.0], [3.0]], dtype=torch.float64))
    4.0
    """
    if len(x) > COMPARED:
        x = x[torch.linspace(0, len(x) - 1, COMPARED, device=x.device).long()]
    distance = float(torch.pdist(x).median() ** 2) if len(x) > 1 else 0.0
    return distance or 1.0
