"""What the steps of an epoch add up to, and when a run must stop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn.utils import get_total_norm

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


class FiniteWatch:
    """Whether the losses of an epoch are finite.

    On the CPU each is read before its update. Elsewhere a reading makes the device wait, so they are
    read every few steps and when the epoch ends, which is before any state can be kept.

    Args:
        device: of the losses.
    """

    def __init__(self, device: torch.device):
        self.every = reading_interval(device)
        self.waiting: list[tuple[Tensor, Mapping[str, Tensor], str]] = []

    def add(self, loss: Tensor, step: Step) -> None:
        """Take in the loss of a step, and read those so far if it is time (DivergedError)."""
        place = f"task {step.task + 1}, epoch {step.epoch + 1} of {step.epochs}"
        self.waiting.append((loss.detach(), step.records, place))
        if len(self.waiting) >= self.every:
            self.check()

    def check(self) -> None:
        """Read the losses that were not read yet.

        Raises:
            DivergedError: for the first that is not finite, naming the term.
        """
        waiting, self.waiting = self.waiting, []
        if not waiting or bool(torch.stack([loss for loss, *_ in waiting]).isfinite().all()):
            return
        loss, records, place = next(w for w in waiting if not bool(w[0].isfinite()))
        guilty = [name for name, value in records.items() if not bool(value.isfinite())]
        raise DivergedError(
            f"the loss term {' and '.join(guilty) or 'sum'} became {loss.item()} in {place}: "
            "lower --lr or raise the temperatures."
        )


def reading_interval(device: torch.device) -> int:
    """Steps after which losses are read: on the CPU, where nothing has to wait, each."""
    return 1 if device.type == "cpu" else 16


def check_weights(learner: Learner, task: Task, others: Sequence[Tensor] = ()) -> None:
    """Stop before a network that an update destroyed is kept or taken for learned (DivergedError).

    Args:
        learner: the network.
        task: that it learns.
        others: weights that terms bring themselves.
    """
    weights: dict[str, Tensor] = dict(learner.named_parameters())
    weights |= {f"of a term ({number})": w for number, w in enumerate(others, 1)}
    if bool(get_total_norm(list(weights.values()), float("inf")).isfinite()):
        return
    broken = [name for name, w in weights.items() if not bool(torch.isfinite(w).all())]
    if broken:
        raise DivergedError(
            f"the weights {broken[0]} are not finite after an update of task {task.index + 1}: "
            "lower --lr or raise the temperatures."
        )
