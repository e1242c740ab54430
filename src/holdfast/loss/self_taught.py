"""SelfTaught: labels softened by what the network itself said of the same sample an epoch ago."""

from __future__ import annotations

from typing import get_args

import torch
from torch import Tensor
from torch.nn import functional

from holdfast.core.errors import ConfigError
from holdfast.core.rows import row_weights
from holdfast.core.step import Part, Step
from holdfast.loss.checks import require_option
from holdfast.loss.classify import Competing, competing, weighted_mean
from holdfast.loss.row_table import NotingTerm


class SelfTaught(NotingTerm):
    """Cross-entropy with targets (1 - a) onehot(y_i) + a q_i, in place of `CrossEntropy`.

    q_i is the network's own softmax of the sample in the epoch before, as the step saw it; the mean over
    its views. a = share (e + 1) / E in epoch e of E, counted from 0; in the first epoch q is the label,
    and so it stays for rows that a memory brings. Under ``classes="seen"`` q has mass on old classes too:
    a weak anchor to the epoch before, not to the past network.

    Kept are N K numbers while a task is learned, and nothing after it.

    Args:
        share: a at the end of a task, in [0, 1]; 0 is cross-entropy.
        classes: which logits compete, as for `CrossEntropy`.
        on: the part it is asked of.

    Raises:
        ConfigError: for a share out of [0, 1], or another set of classes.

    Source: Kim et al., *Self-knowledge distillation with progressive refinement of targets* (PS-KD), ICCV
        2021; read in the authors' code
    """

    label = "self_taught"
    reads = ("logits",)
    weighs = True

    def __init__(self, share: float = 0.8, classes: Competing = "seen", on: str = "batch"):
        super().__init__()
        require_option("set of classes", classes, get_args(Competing))
        if not 0 <= share <= 1:
            raise ConfigError(f"the share of a network's own answers lies in [0, 1], not {share}.")
        self.classes: Competing = classes
        self.share, self.on = share, on
        self.whole_head, self.needs_rivals = classes == "all", classes == "new"

    def value(self, part: Part, step: Step) -> Tensor:
        """Mean over the rows whose class competes; 0 if there is none."""
        logits, y = competing(part.out.logits, part.rows.y, self.classes, step)
        a = self.share * (step.epoch + 1) / step.epochs
        before = step.once(self, lambda: self._exchanged(part.rows.key, logits.detach(), y))
        there = y >= 0
        soft = -(before * logits.log_softmax(1)).sum(1).masked_fill(~there, 0.0)
        weight = row_weights(part.rows)
        if weight is not None:
            hard = functional.cross_entropy(logits, y, ignore_index=-1, reduction="none")
            return weighted_mean((1 - a) * hard + a * soft, weight * there)
        hard = functional.cross_entropy(logits, y, ignore_index=-1, reduction="sum")
        return ((1 - a) * hard + a * soft.sum()) / there.sum().clamp_min(1)

    def _exchanged(self, key: Tensor, logits: Tensor, y: Tensor) -> Tensor:
        """(N, C) what was noted of the rows, their labels where nothing was; now this is noted."""
        labels = functional.one_hot(y.clamp_min(0), logits.shape[1]).to(logits)
        before = self.table.read(key, logits)
        self.table.write(key, logits.softmax(1))
        return torch.where(before.isnan(), labels, before)
