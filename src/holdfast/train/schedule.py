"""The learning rate over a task, as a scheduler of torch.optim: parameter groups keep their ratios."""

from __future__ import annotations

import math

import torch
from torch.optim.lr_scheduler import LRScheduler


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
