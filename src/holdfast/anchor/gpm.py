"""GPM: no weight moves in the directions of the inputs that its layer had in old tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from holdfast.anchor.subspace import HEAD, HeadKind, HeldBases
from holdfast.anchor.subspace_basis import grown
from holdfast.anchor.subspace_inputs import dense_layers, input_grams
from holdfast.core.errors import ConfigError
from holdfast.core.numerics import in_float64

if TYPE_CHECKING:
    from holdfast.learner.learner import Learner
    from holdfast.stream.task import Task


class GPM(HeldBases):
    """Gradient projection memory: G <- G - G M M^T, M an orthonormal basis of old inputs of each layer.

    When a task ends, A (in, n) has a layer's inputs (all patches of a convolution) for some random rows of
    the task, as they rest. M takes in leading left singular vectors of A - M M^T A until it
    holds the share eps_t = min(eps + growth * t, 1) of ||A||^2 in task t = 0, 1, ... (`grown`).

    What it guarantees, with ``eps=1``, all rows and norms that stay (``Method.hold_norms="all"``): no
    old row's features move, nor its logits of old classes, whatever the optimiser. What it does not:
    views of old rows lie outside the span of the rows at rest, and once M is full nothing is learned.

    Args:
        eps: share of the inputs' energy that is protected after the first task.
        growth: added to it with each further task.
        inputs: rows of a task that are looked at.
        strict_count: count directions as the published code does: one fewer than needed to reach eps.
        head: as for `Subspaces`.
        hold_others: as for `Subspaces`.

    Raises:
        ConfigError: for a share below 0 or no inputs; when a task ends and no layer that moved is
            linear or a plain convolution.

    Source: Saha, Garg, Roy, *Gradient projection memory for continual learning*, ICLR 2021; formula read in
        the authors' code, sahagobinda/GPM, main_cifar100.py
    """

    def __init__(
        self,
        eps: float = 0.97,
        growth: float = 0.003,
        inputs: int = 125,
        strict_count: bool = False,
        head: HeadKind = "held",
        hold_others: bool = True,
    ):
        super().__init__("in", head, hold_others)
        if not (eps >= 0 and growth >= 0):
            raise ConfigError(f"eps and its growth are shares from 0 on, not {eps} and {growth}.")
        if inputs < 1:
            raise ConfigError(f"gpm looks at one input of a task at least, not {inputs}.")
        self.eps, self.growth = eps, growth
        self.inputs, self.strict_count = inputs, strict_count

    def consolidate(self, learner: Learner, task: Task, past: Learner | None = None) -> None:
        """Let every basis grow by the task's inputs."""
        layers = dense_layers(learner, self.moved)
        if self.head != "projected":
            layers = {name: layer for name, layer in layers.items() if name not in HEAD}
        if self.moved and not layers:
            raise ConfigError(
                "gpm projects linear layers and plain convolutions, and this network has none that moves."
            )
        if not layers:
            return
        rows = torch.randperm(len(task.train))[: self.inputs].to(task.train.x.device)
        eps = min(self.eps + self.growth * task.index, 1.0)
        for name, gram in input_grams(learner, layers, task.train.x[rows]).items():
            M = self.bases.get(name)
            M = grown(None if M is None else in_float64(M), gram, eps, self.strict_count)
            self.bases[name] = M.to(learner.get_parameter(name))
        self.log_free(task.index)
