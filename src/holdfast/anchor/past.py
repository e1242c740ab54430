"""What the past network is: a frozen copy as ever, or a copy that is tuned first (`Method.past`)."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from holdfast.core.errors import ConfigError
from holdfast.core.numerics import to_float
from holdfast.core.step import Step
from holdfast.loss.classify import CrossEntropy
from holdfast.loss.term import Objective

if TYPE_CHECKING:
    from holdfast.learner.learner import Learner
    from holdfast.stream.task import Task

# of the network as a task leaves it, and the task: the network that later tasks take for their past
Past = Callable[["Learner", "Task"], "Learner"]
MOMENTUM = 0.9


class TunedPast:
    """A copy of the network, tuned on the ended task's rows before it becomes the past network.

    The network in use stays as it is: only what later tasks are held to is another one, such as one whose
    answers say more of the classes. The rows come as they rest, without views, in an order drawn from the
    run's seed; SGD with momentum 0.9, the rate falling to 0 along a cosine.

    Args:
        loss: makes what is minimised; it sees the rows as the part ``batch``, and no past.
        epochs: passes over the rows; 0 is the frozen copy.
        lr: learning rate at the start.
        batch: rows in a batch.

    Raises:
        ConfigError: for fewer epochs than 0, a batch below 2, or a rate that is not positive.

    Source: after the fine-tuned teachers of Ye et al. (MCMI), ICLR 2024, [V]; any loss may be given
    """

    def __init__(
        self,
        loss: Callable[[], Objective] = CrossEntropy,
        epochs: int = 5,
        lr: float = 0.01,
        batch: int = 64,
    ):
        if epochs < 0 or batch < 2 or not 0 < lr < float("inf"):
            raise ConfigError(
                "a past network is tuned for 0 epochs or more, in batches of 2 rows or more, at a rate "
                f"above 0: not epochs={epochs}, batch={batch}, lr={lr}."
            )
        self.loss, self.epochs, self.lr, self.batch = loss, epochs, lr, batch

    def __call__(self, learner: Learner, task: Task) -> Learner:
        """The tuned copy; nothing is drawn from the learner's own state.

        Args:
            learner: as the task leaves it.
            task: whose rows it is tuned on.
        """
        network = copy.deepcopy(learner)
        free = [p for p in network.parameters() if p.requires_grad]
        if not self.epochs or not free:
            return network
        network.train()
        loss, optimizer = self.loss(), torch.optim.SGD(free, self.lr, MOMENTUM)
        for term in loss.terms():
            term.begin(network, task)
        rows = task.train
        batches = max(1, len(rows) // self.batch)
        total = self.epochs * batches
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, total)
        for epoch in range(self.epochs):
            order = torch.randperm(len(rows), device=rows.y.device)
            for piece in order.tensor_split(batches):
                some = rows[piece]
                parts = {"batch": some.with_x(to_float(some.x))}
                seen = tuple(range(len(network.head.bias)))
                step = Step(
                    parts, network, None, task.index, task.classes, seen, epoch, self.epochs,
                    learner=network,
                )  # fmt: skip
                optimizer.zero_grad()
                loss(step).backward()
                optimizer.step()
                schedule.step()
        return network
