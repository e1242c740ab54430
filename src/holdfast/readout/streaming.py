"""Streaming readouts: what is stored are statistics of classes, which follow the network as it drifts."""

from __future__ import annotations

from abc import abstractmethod

import torch
from jaxtyping import Float, Int
from torch import Tensor

from holdfast.errors import ConfigError, DataError, DivergedError
from holdfast.learner.learner import Output
from holdfast.metrics.calibration import fit_temperature
from holdfast.readout.drift import FITS, DriftName, fit_drift
from holdfast.readout.readout import Lesson, Readout, Space
from holdfast.readout.scatter import Structure, scatter
from holdfast.readout.statistics import Statistics


class Streaming(Readout):
    """A readout that is a function of `Statistics`; a subclass says of which, and scores by them.

    Args:
        on: what is read: ``features``, ``hidden`` (of the projector) or ``embedding``.
        drift: how the stored statistics follow the network, see `fit_drift`; ``none`` leaves them.
        structure: of the scatter.
        rank: of a ``low_rank`` scatter.

    Attributes:
        statistics: None before the first task.
        residuals: of the drift map of every task after the first.
        temperature: of `probabilities`, fitted whenever a task ends.

    Raises:
        ConfigError: for an unknown space, drift or structure.
    """

    def __init__(
        self,
        on: Space = "features",
        drift: DriftName = "none",
        structure: Structure = "none",
        rank: int = 0,
    ):
        super().__init__(on)
        if drift not in (*FITS, "none"):
            fit_drift(torch.zeros(1, 1), torch.zeros(1, 1), drift)
        scatter(structure, 1, rank, torch.zeros(0))
        self.drift: DriftName = drift
        self.structure: Structure = structure
        self.rank = rank
        self.needs_past = drift != "none"
        self.statistics: Statistics | None = None

    def represent(self, x: Float[Tensor, "n f"]) -> Float[Tensor, "n m"]:
        """What the statistics are of: a fixed function of what is read, in float64."""
        return x.double()

    @abstractmethod
    def score(self, x: Float[Tensor, "n m"]) -> Float[Tensor, "n k"]:
        """(N, K) by the statistics, of represented rows; columns of classes not met do not count."""

    def read(self, out: Output) -> Float[Tensor, "n m"]:
        """The represented rows of an output."""
        return self.represent(self.see(out))

    @property
    def known(self) -> Statistics:
        """The statistics (ConfigError before the first task)."""
        if self.statistics is None:
            raise ConfigError(f"the readout {self.name} has learned no task yet.")
        return self.statistics

    def fit(self, lesson: Lesson) -> None:
        """Move what is stored to the present network, add the task's rows, and calibrate.

        Raises:
            DataError: for a class of the task that has no row.
            DivergedError: for features that are not finite.
        """
        x, y = self.read(lesson.out), lesson.task.train.y
        for k in lesson.task.classes:
            if not bool((y == k).any()):
                raise DataError(
                    f"class {k} of task {lesson.task.index + 1} has no training example: "
                    f"the readout {self.name} needs at least one."
                )
        if not bool(x.isfinite().all()):
            raise DivergedError(
                f"the {self.on} of task {lesson.task.index + 1} are not finite numbers: lower --lr."
            )
        before = self.statistics or Statistics.empty(x.shape[1], self.structure, self.rank, x)
        if self.needs_past and self.statistics is not None and lesson.past_out is not None:
            drift = fit_drift(self.read(lesson.past_out), x, self.drift)
            before = before.moved(drift)
            self.residuals.append(drift.residual)
        self.prepare(before, x, y)
        self.statistics = before.add(x, y, lesson.classes)
        self.calibrate(x, y)

    def prepare(self, before: Statistics, x: Tensor, y: Int[Tensor, " n"]) -> None:
        """Choose what is to be chosen from the task's rows, before they are added."""

    def calibrate(self, x: Float[Tensor, "n m"], y: Int[Tensor, " n"]) -> None:
        """Fit the temperature on the task's rows."""
        met = self.known.met.nonzero()[:, 0]
        self.temperature = fit_temperature(self.score(x)[:, met], torch.searchsorted(met, y))

    def scores(self, out: Output) -> Float[Tensor, "n k"]:
        """By the statistics; a class that never came is never chosen."""
        scores = self.score(self.read(out))
        return scores.masked_fill(~self.known.met, -torch.inf).float()

    def get_extra_state(self) -> dict[str, Tensor]:
        """Everything that was learned, as tensors by name."""
        if self.statistics is None:
            return {}
        residuals = [float("nan") if r is None else r for r in self.residuals]
        return self.statistics.state() | {
            "residuals": torch.tensor(residuals, dtype=torch.float64),
            "temperature": torch.tensor(self.temperature, dtype=torch.float64),
        }

    def set_extra_state(self, state: dict[str, Tensor]) -> None:
        """Take over what was learned."""
        if not state:
            self.statistics, self.residuals[:] = None, []
            return
        mean = state["mean"]
        like = Statistics.empty(mean.shape[1], self.structure, self.rank, mean)
        self.statistics = Statistics.load(state, like)
        self.residuals[:] = [None if r != r else r for r in state["residuals"].tolist()]
        self.temperature = float(state["temperature"])
