"""Tracker: statistics of classes that follow a network from task to task."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor

from holdfast.core.errors import DataError, DivergedError
from holdfast.statistics.class_statistics import Statistics
from holdfast.statistics.drift import check_drift
from holdfast.statistics.kinds import empty_scatter

if TYPE_CHECKING:
    from holdfast.stream.task import Task

NARROW = 0.003  # share of the known classes' spread that inputs need to say how those classes moved


class Tracker:
    """Statistics that a drift map moves whenever the network has learned a task.

    Args:
        drift: how they follow, see `fit_drift`; ``none`` leaves them.
        structure: the kind of scatter.
        rank: of a ``low_rank`` scatter.

    Attributes:
        statistics: None before the first task.
        residuals: of the drift map of every task after the first (`Drift.residual`).
        forecasts: of each of them (`Drift.forecast`).

    Raises:
        ConfigError: for an unknown drift or structure.
    """

    def __init__(self, drift: str = "none", structure: str = "none", rank: int = 0):
        self.rule = check_drift(drift, structure)
        empty_scatter(structure, 1, rank, torch.zeros(0))
        self.drift = drift
        self.structure = structure
        self.rank = rank
        self.statistics: Statistics | None = None
        self.residuals: list[float | None] = []
        self.forecasts: list[float | None] = []

    @property
    def follows(self) -> bool:
        """Whether it asks what the network said before the task."""
        return self.rule.by != "none"

    def moved(
        self,
        x: Float[Tensor, "n f"],
        past: Float[Tensor, "n f"] | None,
        y: Int[Tensor, " n"] | None = None,
    ) -> Statistics:
        """The statistics of the earlier tasks as the present network would give them.

        They stay where they are without a past, and where the rows lie so close together, beside the
        classes known, that they cannot say how those moved.

        Args:
            x: rows of the task by the present network, in float64.
            past: the same rows by the network before the task; None if there was none.
            y: their classes, for a forecast of the map.
        """
        before = self.statistics
        if before is None:
            return Statistics.empty(x.shape[1], self.structure, self.rank, x)
        if not self.follows or past is None:
            return before
        if not spreads(before, past):
            self.residuals.append(None)
            self.forecasts.append(None)
            return before
        drift = self.rule.fit(past, x, y)
        self.residuals.append(drift.residual)
        self.forecasts.append(drift.forecast)
        return before.moved(drift)

    def state(self) -> dict[str, Tensor]:
        """Everything that was learned, as tensors by name; nothing before the first task."""
        if self.statistics is None:
            return {}
        return self.statistics.state() | {
            "residuals": _numbers(self.residuals),
            "forecasts": _numbers(self.forecasts),
        }

    def load(self, state: dict[str, Tensor]) -> None:
        """Take over what was learned; names it does not know are left alone."""
        if not state:
            self.statistics, self.residuals[:], self.forecasts[:] = None, [], []
            return
        mean = state["mean"]
        like = Statistics.empty(mean.shape[1], self.structure, self.rank, mean)
        self.statistics = Statistics.load(state, like)
        self.residuals[:] = _shares(state["residuals"])
        before = {"forecasts": torch.full_like(state["residuals"], torch.nan)}  # older states
        self.forecasts[:] = _shares((before | state)["forecasts"])


def _numbers(shares: list[float | None]) -> Tensor:
    return torch.tensor([torch.nan if s is None else s for s in shares], dtype=torch.float64)


def _shares(numbers: Tensor) -> list[float | None]:
    return [None if s != s else s for s in numbers.tolist()]


def spreads(known: Statistics, x: Float[Tensor, "n f"]) -> bool:
    """Whether rows spread far enough beside the known classes to say how those moved.

    Their mean square distance from their mean is compared with that of the known rows, as far as
    the statistics tell it: between the class means, and within the classes where scatters are kept.
    """
    share = known.count / known.count.sum()
    centre = share @ known.mean
    total = share @ ((known.mean - centre) ** 2).sum(1)
    if known.scatter.tensors():
        total = total + known.scatter.pooled().trace() / known.count.sum()
    return float(((x - x.mean(0)) ** 2).sum(1).mean()) > NARROW * float(total)


def check_rows(
    x: Float[Tensor, "n f"], y: Int[Tensor, " n"], task: Task, who: str, what: str = "features"
) -> None:
    """Refuse rows of a task of which no statistics can be taken.

    Args:
        x: rows of the task, as a network gives them.
        y: their classes.
        task: that they are of.
        who: reads them.
        what: they are.

    Raises:
        DataError: for a class of the task that has no row.
        DivergedError: for rows that are not finite.
    """
    for k in task.classes:
        if not bool((y == k).any()):
            raise DataError(
                f"class {k} of task {task.index + 1} has no training example: "
                f"{who} needs at least one."
            )
    check_finite(x, task, what)


def check_finite(x: Tensor, task: Task, what: str) -> None:
    """Refuse numbers of a task that are not finite (DivergedError)."""
    if not bool(x.isfinite().all()):
        raise DivergedError(
            f"the {what} of task {task.index + 1} are not finite numbers: lower --lr."
        )
