"""The learning rate over a task, as a scheduler of torch.optim: parameter groups keep their ratios."""

from __future__ import annotations

import math

import torch
from torch.optim.lr_scheduler import LRScheduler

START, FLOOR = 0.01, 1e-3  # of `EpochCosine`: where the warm-up begins, and the end over the peak


class WarmupCosine(LRScheduler):
    """Linear warm-up, then half a cosine to 0; stepped after every update.

    Update n of a task is at p = (n + 1/2) / batches epochs. Each group has its own peak rate times
    p / w for p < w, and (1 + cos(pi (p - w) / (E - w))) / 2 after it (docs/theory.md, section 12).

    Args:
        optimizer: whose groups have their peak rates as ``lr``.
        epochs: E, of the task.
        batches: updates in an epoch.
        warmup: w in epochs, at most E / 4.

    >>> weights = torch.nn.Linear(1, 1).parameters()
    >>> schedule = WarmupCosine(torch.optim.SGD(weights, lr=1.0), epochs=10, batches=1, warmup=2)
    >>> round(schedule.factor(0.5), 3), round(schedule.factor(6.0), 3)
    (0.25, 0.5)
    """

    def __init__(
        self, optimizer: torch.optim.Optimizer, epochs: int, batches: int, warmup: float = 1.0
    ):
        self.epochs, self.batches, self.warmup = epochs, batches, min(warmup, epochs / 4)
        super().__init__(optimizer)

    def get_lr(self) -> list[float | torch.Tensor]:
        """The rate of each group for the next update."""
        epoch, number = divmod(self.last_epoch, self.batches)
        progress = epoch + (number + 0.5) / self.batches
        return [self.factor(progress, float(peak)) for peak in self.base_lrs]

    def step(self, epoch: int | None = None) -> None:
        """Go on to the next update; ``epoch`` is there for torch's sake and not used."""
        self._go_to(self.last_epoch + 1)

    def factor(self, progress: float, peak: float = 1.0) -> float:
        """Peak times the factor after ``progress`` epochs."""
        if progress < self.warmup:
            return peak * progress / self.warmup
        share = (progress - self.warmup) / (self.epochs - self.warmup)
        return peak * 0.5 * (1 + math.cos(math.pi * share))

    def resume(self, epochs: int) -> None:
        """Go on after so many epochs."""
        self._go_to(epochs * self.batches)

    def _go_to(self, update: int) -> None:
        self.last_epoch = update
        self._last_lr = self.get_lr()
        for group, lr in zip(self.optimizer.param_groups, self._last_lr):
            group["lr"] = lr


class EpochCosine(WarmupCosine):
    """Half a cosine from the task's start to a thousandth of the peak, one value an epoch, warm-up on top.

    Epochs count from 1: epoch e of E has peak (F + (1 - F)(1 + cos(pi e / E)) / 2) with F = 1/1000. In
    the first w epochs the rate rises by a line instead, a step after every update, from 0.01 to what the
    cosine has at w: update b (from 0) of B in epoch e is at the share (e - 1 + b / B) / w of the line.

    Source: what the public code of SupContrast, Co2L and FNC2 does (docs/theory.md, section 12)

    >>> weights = torch.nn.Linear(1, 1).parameters()
    >>> schedule = EpochCosine(torch.optim.SGD(weights, lr=0.5), epochs=100, batches=2, warmup=10)
    >>> [round(schedule.rate(update, 0.5), 4) for update in (0, 1, 19, 20, 198)]
    [0.01, 0.0339, 0.4639, 0.4852, 0.0005]
    """

    def get_lr(self) -> list[float | torch.Tensor]:
        """The rate of each group for the next update."""
        return [self.rate(self.last_epoch, float(peak)) for peak in self.base_lrs]

    def rate(self, update: int, peak: float) -> float:
        """The rate of an update of the task, from 0."""
        before, number = divmod(update, self.batches)
        epoch = min(before + 1, self.epochs)
        if epoch <= self.warmup:
            share = (before + number / self.batches) / self.warmup
            return START + share * (self._cosine(self.warmup, peak) - START)
        return self._cosine(epoch, peak)

    def _cosine(self, epoch: float, peak: float) -> float:
        half = (1 + math.cos(math.pi * epoch / self.epochs)) / 2
        return peak * (FLOOR + (1 - FLOOR) * half)


LR_SCHEDULES: dict[str, type[WarmupCosine]] = {"cosine": WarmupCosine, "supcon": EpochCosine}
