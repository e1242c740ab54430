"""What the steps of an epoch add up to, and when a run must stop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from holdfast.core.errors import DivergedError
from holdfast.core.step import Step
from holdfast.learner.learner import Learner
from holdfast.stream.task import Task


class RunningMeans:
    """Running means of what the steps of an epoch recorded, and each penalty's ratio to the rest."""

    def __init__(self, penalties: Sequence[str] = ()):
        self.penalties = penalties
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}

    def add(self, records: Mapping[str, Tensor], loss: Tensor) -> None:
        """Take in one step."""
        for name, value in (*records.items(), ("loss", loss.detach())):
            self.sums[name] = self.sums[name] + value if name in self.sums else value
            self.counts[name] = self.counts.get(name, 0) + 1

    def means(self) -> dict[str, float]:
        """The mean of each record over the steps that made it; penalty / loss without it."""
        means = {name: float(total) / self.counts[name] for name, total in self.sums.items()}
        for name in self.penalties:
            if means.get(name):
                means[f"{name}/loss"] = means[name] / max(means["loss"] - means[name], 1e-12)
        return means


def check_finite(loss: Tensor, step: Step) -> None:
    """Stop before an update that would destroy the network; DivergedError names the term."""
    if bool(torch.isfinite(loss)):
        return
    guilty = [name for name, value in step.records.items() if not bool(torch.isfinite(value))]
    raise DivergedError(
        f"the loss term {' and '.join(guilty) or 'sum'} became {loss.item()} in task {step.task + 1}, "
        f"epoch {step.epoch + 1} of {step.epochs}: lower --lr or raise the temperatures."
    )


def check_weights(learner: Learner, task: Task) -> None:
    """Stop before a network that the last update destroyed is taken for learned (DivergedError)."""
    broken = [name for name, w in learner.named_parameters() if not bool(torch.isfinite(w).all())]
    if broken:
        raise DivergedError(
            f"the weights {broken[0]} are not finite after the last update of task {task.index + 1}: "
            "lower --lr or raise the temperatures."
        )
