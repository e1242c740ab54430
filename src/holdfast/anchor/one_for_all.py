"""OneForAll: every stage has an exit of its own, and all say what the past network's head said.

Only answers are compared, so the past network may be of any architecture (`holdfast.train.succession`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from holdfast.anchor.function import Support
from holdfast.core.constants import class_index
from holdfast.core.errors import ConfigError, DataError
from holdfast.core.numerics import at_least_float32
from holdfast.core.output import outputs
from holdfast.core.step import Part, Step
from holdfast.learner.heads import GrowingHead
from holdfast.learner.stages import showing_stages
from holdfast.loss.checks import require_option
from holdfast.loss.term import Term

if TYPE_CHECKING:
    from holdfast.learner.learner import Learner
    from holdfast.stream.task import Task

PROBED = 2  # rows by which the widths of the stages are seen


def enhanced_distillation(
    past: Float[Tensor, "n k"],
    now: Float[Tensor, "n k"],
    place: Int[Tensor, " n"],
    g: float = 1.0,
) -> Float[Tensor, ""]:
    """-mean_i sum_c [(p*_ic + 1[c = y_i])^g - 1[c = y_i]] log q_ic, p* and q the softmax of both.

    g = 1 is the cross-entropy with the past network's answers. With g > 1 the class that is true counts
    (1 + p*_y)^g - 1 in place of p*_y, and any other (p*_c)^g: what the past was sure of counts more.

    Args:
        past: (N, K) logits of the past network; -inf is a class it gives nothing.
        now: (N, K) logits of an exit.
        place: (N,) the true class among the K; -1 where it is none of them.
        g: > 0; 1 for small data, up to 1.5.

    Raises:
        DataError: for tensors of two shapes.

    Source: Hao et al., *One-for-All* (OFA-KD), NeurIPS 2023; [V] read in the authors' code

    >>> enhanced_distillation(torch.zeros(1, 2), torch.zeros(1, 2), torch.tensor([0]))  # log 2
    tensor(0.6931)
    """
    if past.shape != now.shape:
        raise DataError(f"the answers have the shapes {tuple(past.shape)} and {tuple(now.shape)}.")
    p, q = (at_least_float32(z) for z in (past.detach(), now))
    if not len(q):
        return q.sum() * 0.0
    here = (place[:, None] == torch.arange(q.shape[1], device=q.device)).to(q)
    target = (p.softmax(1) + here) ** g - here
    return -(target * q.log_softmax(1)).sum(1).mean()


class OneForAll(Term):
    """`enhanced_distillation` of the head and of one linear exit for each stage, summed.

    The exits are made from the second task on, or when a network takes over another one's stream. They
    are trained with the network, grow with the classes, and are kept with its state; no readout asks
    them. The past's answers are softened by nothing (T = 1). It asks a head that another term trains, such
    as `CrossEntropy` on the new rows.

    Args:
        g: as for `enhanced_distillation`.
        support: ``old``: both answers are renormalised over the classes that came before;
            ``all_padded``: the exits' run over all classes seen, the past's is 0 on the new.
        exits: whether stages have exits; without them only the head is taught, and no stage is read.
        on: the part it is asked of.

    Raises:
        ConfigError: for a g that is not positive, or an unknown support; in a step, for g other than 1
            where the part has rows of new classes: there the least value is not at the past's answers.

    Source: Hao et al., NeurIPS 2023, [V]; linear exits of pooled stages in place of its convolutions
    """

    needs_past = True
    label = "ofa"

    def __init__(
        self, g: float = 1.0, support: Support = "old", exits: bool = True, on: str = "batch"
    ):
        super().__init__()
        require_option("support", support, get_args(Support))
        if not 0 < g < float("inf"):
            raise ConfigError(f"g must be a positive number, not {g}.")
        self.g, self.support, self.on = g, support, on
        self.shows = exits
        self.reads = ("logits", "stages") if exits else ("logits",)
        self.asks = ("logits",)
        self.exits = nn.ModuleList()

    def value(self, part: Part, step: Step) -> Tensor:
        """The sum over head and exits of the mean over the part's rows."""
        device = part.rows.y.device
        known = class_index(step.known, device)
        classes = known if self.support == "old" else class_index(step.seen, device)
        past = at_least_float32(part.past.logits)
        answers = past.new_full((len(past), int(max(step.seen)) + 1), -torch.inf)
        answers[:, known] = past[:, known]
        there = part.rows.y[:, None] == classes
        place = torch.where(there.any(1), there.int().argmax(1), -1)
        self._check(part.rows.y, known)
        spoken = [part.out.logits, *self._answers(part)]
        values = [
            enhanced_distillation(answers[:, classes], z[:, classes], place, self.g) for z in spoken
        ]
        return torch.stack(values).sum()

    def _check(self, y: Tensor, known: Tensor) -> None:
        """Stop where a g other than 1 would pull the answers away from the past's (ConfigError)."""
        if self.g != 1 and not bool(torch.isin(y, known).all()):
            raise ConfigError(
                f"g={self.g:g} sharpens towards classes that the past network knows, and these rows are of "
                'others: use g=1, or ask rows of old classes, as in on="memory".'
            )

    def _answers(self, part: Part) -> list[Tensor]:
        """Logits of the exits."""
        if not self.shows:
            return []
        stages = part.out.stages
        if stages is None or len(stages) != len(self.exits):
            raise ConfigError(
                "OneForAll has no exit for these stages: its begin() makes them, from the second task on."
            )
        return [head(at_least_float32(stage)) for head, stage in zip(self.exits, stages)]

    @torch.no_grad()
    def begin(self, learner: Learner, task: Task) -> None:
        """Make an exit for each stage, and room for the task's classes; not in the first task."""
        if not task.index or not self.shows:
            return
        if not len(self.exits):
            with showing_stages(learner):
                stages = outputs(learner, task.train[slice(0, PROBED)]).stages or ()
            exits = [GrowingHead(stage.shape[1]) for stage in stages]
            self.exits = nn.ModuleList(exits).to(learner.head.weight)
        for head in self.exits:
            assert isinstance(head, GrowingHead)
            head.grow(len(learner.head.bias))

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        """As any module's, with as many exits as the state has."""
        shapes = []
        while f"{prefix}exits.{len(shapes)}.weight" in state_dict:
            shapes.append(state_dict[f"{prefix}exits.{len(shapes)}.weight"])
        exits = [GrowingHead(weight.shape[1], len(weight)).to(weight) for weight in shapes]
        self.exits = nn.ModuleList(exits)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
