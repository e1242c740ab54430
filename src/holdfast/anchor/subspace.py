"""Subspaces: the directions of each layer in which no weight may move, and what is done with the rest.

Two sides. Columns of M in a layer's *inputs*: dW M = 0, so no input in the span of M changes that layer's
output; where M spans all inputs of old rows, and biases and norms stay, no old output of the network moves
at all, by induction over the layers. Columns of M in its *outputs*: M^T dW = 0, so M^T of the output stays
for every input, and old outputs move in all other directions.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from holdfast.anchor.rule import Named, Rule
from holdfast.core.constants import class_index
from holdfast.core.errors import ConfigError
from holdfast.core.step import Step
from holdfast.loss.checks import require_option

LOG = logging.getLogger("holdfast.anchor.subspace")
HEAD = ("head.weight", "head.bias")  # of a learner
Side = Literal["in", "out"]
HeadKind = Literal["held", "projected", "free"]


class Subspaces(Rule, ABC):
    """What GPM, OWM and CoSO share: some weights are projected, others stay, and the head is apart.

    From the second task on, the gradient and then the update of every layer that is covered are projected;
    the update alone is what guarantees anything under momentum, weight decay or Adam. What is not
    covered (biases, norms, layers of other kinds) does not move, as published code sets its gradient to 0.

    Args:
        head: published methods have a head a task, of which only the present one learns. ``held`` is
            that in one head: rows of old classes stay, bit for bit, and the task's own are free;
            ``projected`` treats the head as a layer like any other, so that the old inputs keep their
            logits of all classes; ``free`` leaves it to the loss.
        hold_others: whether weights that are not covered stay.

    Attributes:
        moved: names of the weights that steps have moved.

    Raises:
        ConfigError: for another kind of head.
    """

    def __init__(self, head: HeadKind = "held", hold_others: bool = True):
        super().__init__()
        require_option("treatment of the head", head, get_args(HeadKind))
        self.head, self.hold_others = head, hold_others
        self.moved: set[str] = set()

    @property
    @abstractmethod
    def holds(self) -> bool:
        """Whether any direction is held yet."""

    @abstractmethod
    def covers(self, name: str) -> bool:
        """Whether a weight is projected."""

    @abstractmethod
    def projected(self, name: str, t: Tensor) -> Tensor:
        """A gradient or a move of a covered weight, without what would be forgotten."""

    def gradient(self, gradient: Named, step: Step) -> Named:
        """The gradient within what is free."""
        self.moved.update(gradient)
        return self.kept(gradient, step)

    def update(self, delta: Named, step: Step) -> Named:
        """The move within what is free."""
        return self.kept(delta, step)

    def kept(self, named: Named, step: Step) -> Named:
        """What is left of gradients or moves, by name; all of it while nothing is held."""
        if not self.holds:
            return named
        return {name: self._one(name, t, step) for name, t in named.items()}

    def _one(self, name: str, t: Tensor, step: Step) -> Tensor:
        if name in HEAD and self.head != "projected":
            return t if self.head == "free" else _without_old_rows(t, step)
        if self.covers(name):
            return self.projected(name, t)
        return torch.zeros_like(t) if self.hold_others and step.task else t


def _without_old_rows(t: Tensor, step: Step) -> Tensor:
    """Rows of classes that came before and do not come again are 0."""
    return t.index_fill(0, class_index(step.old_classes, t.device), 0)


class HeldBases(Subspaces):
    """Subspaces with an orthonormal basis M a layer, in its inputs or its outputs.

    Args:
        side: ``in``: t - t M M^T; ``out``: t - M M^T t, of t as (out, in).
        head: as for `Subspaces`.
        hold_others: as for `Subspaces`.

    Attributes:
        bases: M by the name of the layer's weight.

    Raises:
        ConfigError: for another side or kind of head, or a projected head with side="out".
    """

    def __init__(self, side: Side = "in", head: HeadKind = "held", hold_others: bool = True):
        super().__init__(head, hold_others)
        require_option("side", side, get_args(Side))
        if side == "out" and head == "projected":
            raise ConfigError("a head grows in its outputs: use side=in, or head=held or free.")
        self.side = side
        self.bases: Named = {}

    @property
    def holds(self) -> bool:
        """Whether a basis has a column."""
        return any(M.shape[1] for M in self.bases.values())

    def covers(self, name: str) -> bool:
        """Whether it has a basis."""
        return name in self.bases

    def projected(self, name: str, t: Tensor) -> Tensor:
        """What of t is orthogonal to M; nothing where M spans everything."""
        M = self.bases[name]
        if M.device != t.device or M.dtype != t.dtype:
            M = self.bases[name] = M.to(t)
        if not M.shape[1]:
            return t
        if M.shape[1] >= len(M):
            return torch.zeros_like(t)
        flat = t.flatten(1)
        part = (flat @ M) @ M.T if self.side == "in" else M @ (M.T @ flat)
        return (flat - part).view(t.shape)

    def gradient(self, gradient: Named, step: Step) -> Named:
        """The gradient within what is free; records the mean share of a layer's directions that is."""
        if self.bases:
            free = self.free_directions().values()
            mean = sum(share / whole for share, whole in free) / len(free)
            step.record("free", step.zero + mean)
        return super().gradient(gradient, step)

    def free_directions(self) -> dict[str, tuple[int, int]]:
        """By the name of a layer's weight: how many directions are free, and of how many."""
        return {name: (len(M) - M.shape[1], len(M)) for name, M in self.bases.items()}

    def log_free(self, task: int) -> None:
        """Say how much is left after a task."""
        free = self.free_directions().items()
        words = ", ".join(f"{name} {left} of {whole}" for name, (left, whole) in free)
        LOG.info("free directions after task %d: %s", task + 1, words)
        if free and not any(left for _, (left, _) in free):
            LOG.warning("no direction of any layer is free after task %d", task + 1)

    def get_extra_state(self) -> dict[str, Any]:
        """The bases, and which weights moved."""
        return {"bases": dict(self.bases), "moved": sorted(self.moved)}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Take them over."""
        self.bases, self.moved = dict(state["bases"]), set(state["moved"])
