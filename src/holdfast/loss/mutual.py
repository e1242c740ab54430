"""ConditionalInformation: how far single answers lie from their class's mean answer, to be raised."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from holdfast.core.errors import ConfigError
from holdfast.core.numerics import class_sums
from holdfast.core.step import Part, Step
from holdfast.loss.checks import require_labels, require_option
from holdfast.loss.classify import Competing, competing
from holdfast.loss.term import Term

if TYPE_CHECKING:
    from holdfast.learner.learner import Learner
    from holdfast.stream.task import Task


def divergence_from_class(
    logits: Float[Tensor, "n k"], y: Int[Tensor, " n"], centre: Float[Tensor, "c k"]
) -> Float[Tensor, " n"]:
    """(N,) KL(p_i || c_{y_i}), p = softmax(logits); its mean is the information CMI = I(x; answer | class).

    With c the true means of the classes it is mean_i [H(c_{y_i}) - H(p_i)], between 0 and log K; with any
    other c it is larger by KL(mean || c).

    Args:
        logits: (N, K).
        y: (N,) classes.
        centre: (C, K) of each class a distribution.

    Raises:
        DataError: for labels of another number than rows.

    >>> divergence_from_class(torch.zeros(1, 2), torch.tensor([0]), torch.tensor([[0.8, 0.2]]))
    tensor([0.2231])
    """
    require_labels(logits, y)
    log_p = logits.log_softmax(1)
    tiny = torch.finfo(centre.dtype).tiny
    return (log_p.exp() * (log_p - centre.clamp_min(tiny).log()[y])).sum(1)


class ConditionalInformation(Term):
    """-CMI in the last epochs of a task: answers of one class are driven apart again, for a better teacher.

    Class means c are of the answers in the last epoch before, and stay. Beside a cross-entropy: when its
    mean over an epoch is higher than in the epoch before the first by more than ``rise``, the term is 0
    until the task ends. A task of one epoch has none of it. It opposes neural collapse by construction,
    and here it changes the network that is used, not a copy that teaches: no recipe has it by default.

    Kept are K^2 numbers while a task is learned, and nothing after it.

    Args:
        share: of a task's epochs at its end, in (0, 1]; at least one epoch.
        rise: of the cross-entropy, as a share of it.
        classes: over which the softmax runs, as for `CrossEntropy`.
        on: the part it is asked of.

    Raises:
        ConfigError: for a share out of (0, 1], a negative rise, or another set of classes.

    Source: Ye et al., *Bayes conditional distribution estimation for knowledge distillation based on
        conditional mutual information*, ICLR 2024; read in the authors' code, which tunes a copy for 20
        epochs with weight 0.15 to 0.25 and takes c by a sweep
    """

    label = "cmi"
    reads = ("logits",)
    asks = ("logits",)

    def __init__(
        self,
        share: float = 0.1,
        rise: float = 0.05,
        classes: Competing = "new",
        on: str = "batch",
    ):
        super().__init__()
        require_option("set of classes", classes, get_args(Competing))
        if not 0 < share <= 1:
            raise ConfigError(f"the share of a task's epochs lies in (0, 1], not {share}.")
        if not rise >= 0:
            raise ConfigError(f"the rise of a cross-entropy must be at least 0, not {rise}.")
        self.classes: Competing = classes
        self.share, self.rise, self.on = share, rise, on
        self.notes: dict[str, Any] = {}

    def first(self, epochs: int) -> int:
        """The epoch from which on it counts, after at least one."""
        return max(1, epochs - max(1, round(self.share * epochs)))

    def value(self, part: Part, step: Step) -> Tensor:
        """Mean over the rows whose class competes; 0 before its time and after a rise."""
        logits, y = competing(part.out.logits, part.rows.y, self.classes, step)
        step.once(self, lambda: self._note(step, logits.detach(), y))
        if step.epoch < self.first(step.epochs) or "centre" not in self.notes:
            return step.zero
        there = y >= 0
        apart = divergence_from_class(logits, y.clamp_min(0), self.notes["centre"])
        total = apart.masked_fill(~there, 0.0).sum() / there.sum().clamp_min(1)
        return -self.notes["goes_on"] * total

    def _note(self, step: Step, logits: Tensor, y: Tensor) -> None:
        """Add a step to the sums of its epoch, after what the epoch before it decides."""
        notes = self.notes
        if notes.get("epoch") != step.epoch:
            if "sum" in notes:
                self._decide(step.epoch - self.first(step.epochs))
            k = logits.shape[1]
            notes |= {"epoch": step.epoch, "sum": logits.new_zeros(k, k)}
            notes |= {"count": logits.new_zeros(k), "loss": logits.new_zeros(())}
        there, place = (y >= 0).to(logits), y.clamp_min(0)
        p, k = logits.softmax(1) * there[:, None], logits.shape[1]
        notes["sum"] = class_sums(notes["sum"], p, place, k)
        notes["count"] = class_sums(notes["count"], there, place, k)
        loss = functional.cross_entropy(logits, y, ignore_index=-1, reduction="sum")
        notes["loss"] = notes["loss"] + loss

    def _decide(self, since: int) -> None:
        """Take the class means where the time has come, and stop where cross-entropy rose after it.

        Args:
            since: epochs since the first one in which the term counts.
        """
        notes = self.notes
        rows = notes["count"].sum().clamp_min(1)
        if since == 0:
            centre = notes["sum"] / notes["count"].clamp_min(1)[:, None]
            notes |= {"centre": centre, "before": notes["loss"] / rows}
            notes["goes_on"] = torch.ones_like(rows)
        elif since > 0 and "centre" in notes:
            fine = notes["loss"] / rows <= (1 + self.rise) * notes["before"]
            notes["goes_on"] = notes["goes_on"] * fine

    def begin(self, learner: Learner, task: Task) -> None:
        """Begin a task without notes."""
        self.notes = {}

    def consolidate(self, learner: Learner, task: Task, past: Learner | None = None) -> None:
        """Forget what was noted."""
        self.notes = {}

    def get_extra_state(self) -> dict[str, Any]:
        """What was noted in the task."""
        return dict(self.notes)

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Take over notes."""
        self.notes = dict(state)
