"""Nearest prototype and nearest class mean."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from holdfast.errors import unknown
from holdfast.learner.learner import Output
from holdfast.learner.prototype import Frame
from holdfast.metrics.calibration import fit_temperature
from holdfast.readout.drift import DriftName
from holdfast.readout.readout import Lesson, Readout, Space
from holdfast.readout.streaming import Streaming


class NearestPrototype(Readout):
    """argmax_k z.q_k over the frame's vectors of the classes seen: nothing is stored."""

    name = "prototype"
    needs_frame = True

    def __init__(self, frame: Frame):
        super().__init__("embedding")
        self.frame, self.seen = frame, 0

    def fit(self, lesson: Lesson) -> None:
        """Only the number of classes is needed, and a temperature from the task's rows."""
        self.seen = lesson.classes
        self.temperature = fit_temperature(self.scores(lesson.out), lesson.task.train.y)

    def scores(self, out: Output) -> Float[Tensor, "n k"]:
        """z.q_k."""
        return out.embedding @ self.frame.vectors[: self.seen].T

    def get_extra_state(self) -> dict[str, Tensor]:
        """How many classes were seen, and the temperature."""
        return {"seen": torch.tensor(self.seen), "temperature": torch.tensor(self.temperature)}

    def set_extra_state(self, state: dict[str, Tensor]) -> None:
        """Take over both."""
        self.seen, self.temperature = int(state["seen"]), float(state["temperature"])


class NearestMean(Streaming):
    """argmax_k cos(x, m_k) over means of unit rows, or argmin_k ||x - m_k||: K (1 + f) numbers.

    Args:
        on: ``features``, ``hidden`` or ``embedding``.
        metric: ``cosine`` or ``euclidean``.
        drift: how the stored means follow the network: none, ridge, low_rank, learned, translation.

    Raises:
        ConfigError: for an unknown metric.
    """

    name = "mean"

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

    def represent(self, x: Float[Tensor, "n f"]) -> Float[Tensor, "n f"]:
        """Unit rows for the cosine."""
        return functional.normalize(x.double(), dim=1) if self.metric == "cosine" else x.double()

    def score(self, x: Float[Tensor, "n f"]) -> Float[Tensor, "n k"]:
        """The cosine, or -1/2 of the squared distance."""
        means = self.known.mean
        if self.metric == "cosine":
            return functional.normalize(x, dim=1) @ functional.normalize(means, dim=1).T
        return x @ means.T - 0.5 * (means**2).sum(1) - 0.5 * (x**2).sum(1, keepdim=True)
