"""Merged: every task is trained from one start, and when it ends the network is a merge of all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
from torch import Tensor, nn

from holdfast.anchor.merging import RUNNING, Merge, check_merge, merge_weights
from holdfast.anchor.rule import Named, Rule
from holdfast.core.errors import ConfigError
from holdfast.core.numerics import to_float
from holdfast.learner.states import changeable
from holdfast.loss.checks import require_option

if TYPE_CHECKING:
    from holdfast.learner.learner import Learner
    from holdfast.stream.task import Task

Base = Literal["start", "first"]
MergedNorms = Literal["average", "current"]
ROWS = 256  # of a batch by which running statistics are estimated anew


class Merged(Rule):
    """Task arithmetic or TIES as a continual method: w = w_0 + scale merge(w_1 - w_0, ..., w_T - w_0).

    Each task starts at w_0 (backbone and projector; the head goes on) and ends in the merge of all tasks so
    far (`merge_weights`). A merge needs a common w_0 from which the tasks stay linearly connected, as a
    pretrained network is: from scratch, w_0 is the network after the first task, whose own move is then 0.
    The first task alone ends as it was trained; a scale does not shrink it.

    Batch norm: scales and shifts are weights, and are merged; running statistics are averaged over the
    tasks by their rows, or estimated anew on the current task's rows, which then fit no old class.

    Stored are w_0 and, for arithmetic, one sum of moves; for TIES a network a task.

    Args:
        how: ``arithmetic`` or ``ties``.
        scale: of the merged move; 0 takes the published one, 0.3 for arithmetic and 1 for ties.
        keep: share of each task's move that ``ties`` keeps.
        base: ``first``, w_0 is the network after the first task; ``start``, the one before it, for a
            pretrained backbone.
        norms: running statistics: ``average`` or ``current``.

    Raises:
        ConfigError: for an unknown way, base or norms, a scale below 0 or a share outside (0, 1].

    Source: Ilharco et al., ICLR 2023; Yadav et al., NeurIPS 2023
    """

    def __init__(
        self,
        how: Merge = "arithmetic",
        scale: float = 0.0,
        keep: float = 0.2,
        base: Base = "first",
        norms: MergedNorms = "average",
    ):
        super().__init__()
        check_merge(how, keep)
        require_option("base of a merge", base, get_args(Base))
        require_option("norms of a merge", norms, get_args(MergedNorms))
        if scale < 0:
            raise ConfigError(f"the scale of a merge is at least 0, not {scale}.")
        self.how: Merge = how
        self.keep, self.base, self.norms = keep, base, norms
        self.scale = scale or {"arithmetic": 0.3, "ties": 1.0}[how]
        self.start: Named = {}
        self.ends: list[Named] = []  # of arithmetic one, of which the moves are the sum
        self.counts: list[float] = []

    @torch.no_grad()
    def begin(self, learner: Learner, task: Task) -> None:
        """Go back to w_0."""
        live = trained(learner)
        if not self.start and (self.base == "start" or task.index):
            self.start = {n: t.detach().clone() for n, t in live.items()}
        elif self.start and not task.few:
            for name, tensor in self.start.items():
                live[name].copy_(tensor)

    @torch.no_grad()
    def adjust(self, learner: Learner, task: Task) -> None:
        """Take in the task's weights, and write the merge."""
        live = trained(learner)
        now = {n: t.detach().clone() for n, t in live.items()}
        if not self.start:  # the network after the first task is w_0
            self.start = now
        self._take(now, float(len(task.train)))
        if len(self.counts) == 1:
            return
        merged = merge_weights(
            self.start, self.ends, self.how, self.scale, self.keep, self._weights()
        )
        for name, tensor in merged.items():
            live[name].copy_(tensor)
        if self.norms == "current":
            estimate_norms(learner, task)

    def _take(self, now: Named, count: float) -> None:
        self.counts.append(count)
        if self.how == "ties" or not self.ends:
            self.ends.append({n: t.clone() for n, t in now.items()})  # w_0 may be the same
            return
        last, share = self.ends[0], count / sum(self.counts)
        for name, tensor in now.items():
            running = name.rpartition(".")[2] in RUNNING
            last[name] = (
                last[name].lerp(tensor, share)
                if running
                else last[name] + (tensor - self.start[name])
            )

    def _weights(self) -> list[float]:
        return self.counts if self.how == "ties" else [1.0]

    def get_extra_state(self) -> dict[str, Any]:
        """w_0, the networks and their rows."""
        return {"start": self.start, "ends": self.ends, "counts": self.counts}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Take them over."""
        self.start = dict(state["start"])
        self.ends = [dict(end) for end in state["ends"]]
        self.counts = [float(count) for count in state["counts"]]


def trained(learner: nn.Module) -> Named:
    """What is merged of a network: trained weights and running statistics of backbone and projector.

    Raises:
        ConfigError: if there is none.
    """
    parts = ("backbone", "projector")
    named = {n: t for n, t in changeable(learner).items() if n.split(".")[0] in parts}
    if not any(n.startswith("backbone.") for n in named):
        raise ConfigError(
            "a merge needs a backbone that is trained, and this one stands still: name another with "
            "--backbone, or train its last layers with --tune-layers."
        )
    return named


@torch.no_grad()
def estimate_norms(learner: Learner, task: Task) -> None:
    """Let the running statistics of batch norm be those of a task's rows, as they rest."""
    norms = [m for m in learner.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    norms = [m for m in norms if m.running_mean is not None]
    before, mode = [m.momentum for m in norms], learner.training
    for module in norms:
        module.reset_running_stats()
        module.momentum = None  # a mean over the batches
    learner.train()
    rows: Tensor = task.train.x
    for piece in rows.tensor_split(max(1, len(rows) // ROWS)):
        if len(piece) > 1:
            learner(to_float(piece))
    for module, momentum in zip(norms, before):
        module.momentum = momentum
    learner.train(mode)
