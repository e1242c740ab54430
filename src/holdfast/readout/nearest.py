"""Nearest prototype and nearest class mean."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from holdfast.core.errors import ConfigError, unknown
from holdfast.core.output import Output
from holdfast.learner.prototype import Frame
from holdfast.metrics.calibration import fit_temperature
from holdfast.readout.contexts import FitContext
from holdfast.readout.decision import Cosine, Decision, Euclidean, UnitRows, linear_layer
from holdfast.readout.readout import Readout, Space, register
from holdfast.readout.streaming import Streaming
from holdfast.statistics.class_statistics import Statistics
from holdfast.statistics.drift import DriftName


@register("prototype")
class NearestPrototype(Readout):
    """argmax_k z.q_k over the frame's vectors of the classes seen: nothing is stored.

    Args:
        frame: the method's prototypes.

    Raises:
        ConfigError: without a frame.
    """

    label = "prototype"
    needs_frame = True

    def __init__(self, frame: Frame | None):
        super().__init__("embedding")
        if frame is None:
            raise ConfigError(
                "the readout prototype needs a method with prototypes, such as fnc2: use mean or gaussian."
            )
        self.frame, self.seen = frame, 0

    @property
    def calibrated(self) -> bool:
        """Whether there were classes to tell apart when the temperature was fitted."""
        return self.seen > 1

    def fit(self, context: FitContext) -> None:
        """Only the number of classes is needed, and a temperature from the task's rows."""
        self.seen = context.classes
        self.temperature = fit_temperature(self.scores(context.out), context.task.train.y)

    def scores(self, out: Output) -> Float[Tensor, "n k"]:
        """z.q_k."""
        return out.embedding @ self.frame.vectors[: self.seen].T

    def network(self, width: int) -> nn.Module:
        """A linear layer."""
        return linear_layer(self.frame.vectors[: self.seen])

    def get_extra_state(self) -> dict[str, Tensor]:
        """How many classes were seen, and the temperature."""
        temperature = torch.tensor(self.temperature, dtype=torch.float64)
        return {"seen": torch.tensor(self.seen), "temperature": temperature}

    def set_extra_state(self, state: dict[str, Tensor]) -> None:
        """Take over both."""
        self.seen, self.temperature = int(state["seen"]), float(state["temperature"])


@register("mean")
class NearestMean(Streaming):
    """argmax_k cos(x, m_k) over means of unit rows, or argmin_k ||x - m_k||: K (1 + f) numbers.

    Args:
        on: ``features``, ``hidden`` or ``embedding``.
        metric: ``cosine`` or ``euclidean``.
        drift: how the stored means follow the network: none, ridge, low_rank, learned, translation.

    Raises:
        ConfigError: for an unknown metric.
    """

    label = "mean"

    def __init__(
        self,
        on: Space = "features",
        metric: Literal["cosine", "euclidean"] = "cosine",
        drift: DriftName = "none",
    ):
        super().__init__(on, drift)
        if metric not in ("cosine", "euclidean"):
            raise unknown("metric", metric, ("cosine", "euclidean"))
        self.metric = metric

    def representation(self, width: int) -> nn.Module:
        """Unit rows for the cosine."""
        return UnitRows() if self.metric == "cosine" else nn.Identity()

    def solve(self, statistics: Statistics) -> Decision:
        """The cosine, or -1/2 of the squared distance."""
        means = statistics.mean
        return Cosine(functional.normalize(means)) if self.metric == "cosine" else Euclidean(means)
