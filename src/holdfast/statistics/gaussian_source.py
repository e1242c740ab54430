"""GaussianSource: class Gaussians that follow the network, to draw pseudo-features from."""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor, nn

from holdfast.core.errors import ConfigError
from holdfast.core.numerics import in_float64
from holdfast.statistics.class_statistics import Statistics
from holdfast.statistics.covariance import Covariance, SharedCovariance, draw_rows
from holdfast.statistics.tracker import Tracker
from holdfast.statistics.weighed import add_weighed


class GaussianSource(nn.Module):
    """Counts, means and scatters of classes, from which rows of old classes are drawn.

    Stored are K (1 + f) numbers and those of the scatter. Nothing of it is trained.

    Args:
        drift: how the statistics follow the network, see `fit_drift`.
        covariance: of the draws.
        structure: the kind of scatter.
        rank: of a ``low_rank`` scatter.

    Raises:
        ConfigError: for an unknown drift or structure.
    """

    def __init__(
        self,
        drift: str = "ridge",
        covariance: Covariance = SharedCovariance(),
        structure: str = "shared",
        rank: int = 0,
    ):
        super().__init__()
        self.covariance = covariance
        self.tracker = Tracker(drift, structure, rank)

    @property
    def known(self) -> Statistics:
        """The statistics (ConfigError before the first task)."""
        if self.tracker.statistics is None:
            raise ConfigError("a source of pseudo-features has seen no class yet.")
        return self.tracker.statistics

    def update(
        self,
        x: Float[Tensor, "n f"],
        y: Int[Tensor, " n"],
        classes: int,
        past: Float[Tensor, "n f"] | None = None,
        weight: Float[Tensor, " n"] | None = None,
    ) -> None:
        """Move what is stored to the present network, and add the rows of a task.

        Args:
            x: rows by the present network.
            y: their classes.
            classes: K so far.
            past: the same rows by the network before the task; None leaves what is stored.
            weight: for how many rows each one stands; None is one.
        """
        x = in_float64(x)
        past = None if past is None else in_float64(past)
        y = y.to(x.device)
        before = self.tracker.moved(x, past, y)
        self.tracker.statistics = add_weighed(before, x, y, classes, weight)

    def draw(self, each: int, seed: int = 0) -> tuple[Float[Tensor, "m f"], Int[Tensor, " m"]]:
        """(M each, f) pseudo-features in float64 and their classes: ``each`` of all M classes met.

        Raises:
            ConfigError: before the first task.
        """
        return draw_rows(self.known, self.covariance, each, seed)

    def get_extra_state(self) -> dict[str, Tensor]:
        """Everything that was learned, as tensors by name."""
        return self.tracker.state()

    def set_extra_state(self, state: dict[str, Tensor]) -> None:
        """Take over what was learned, also from a `SharedGaussian`."""
        self.tracker.load(state)
