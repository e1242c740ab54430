"""Rotations: in the first task, quarter turns of an image are classes of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from holdfast.core.constants import class_index
from holdfast.core.numerics import at_least_float32
from holdfast.core.step import Part, Step
from holdfast.loss.term import Term

if TYPE_CHECKING:
    from holdfast.learner.learner import Learner
    from holdfast.stream.task import Task

TURNS = 4
WEIGHTS = ("weight", "bias")


class Rotations(Term):
    """Cross-entropy of a linear head of its own over 4 K classes: the first task's, by quarter turns.

    It asks of the batch's images as they are and of three turned copies of each, the part ``turned``. The
    head is trained for the first task and then forgotten. Inputs that cannot be turned, as feature vectors
    and images that are not square, ask nothing.

    Source: as in AdaGauss, NeurIPS 2024, and Zhu et al. (PASS), CVPR 2021
    """

    label = "rotations"
    reads = ("features",)
    on = "turned"
    weight: nn.Parameter
    bias: nn.Parameter

    def __init__(self):
        super().__init__()
        for name in WEIGHTS:
            self.register_parameter(name, None)

    @property
    def turns(self) -> bool:  # type: ignore[override]
        """While it has its head."""
        return self.weight is not None

    def value(self, part: Part, step: Step) -> Tensor:
        """The mean over the four turns."""
        classes = class_index(tuple(sorted(step.classes)), part.rows.y.device)
        batch = step["batch"]
        turned = torch.cat([torch.zeros_like(batch.rows.y), part.rows.extra["turn"]])
        y = torch.searchsorted(classes, torch.cat([batch.rows.y, part.rows.y]))
        features = torch.cat([batch.out.features, part.out.features]).to(self.weight)
        logits = at_least_float32(functional.linear(features, self.weight, self.bias))
        return functional.cross_entropy(logits, TURNS * y + turned)

    def begin(self, learner: Learner, task: Task) -> None:
        """Make the head, in the first task."""
        if task.index or len(learner.shape) != 3 or learner.shape[1] != learner.shape[2]:
            return
        head = nn.Linear(learner.backbone.features, TURNS * len(task.classes))
        for name in WEIGHTS:
            value = getattr(head, name).detach().to(learner.head.weight)
            setattr(self, name, nn.Parameter(value))

    def consolidate(self, learner: Learner, task: Task, past: Learner | None = None) -> None:
        """Forget the head."""
        for name in WEIGHTS:
            setattr(self, name, None)

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        """As any module's, with a head or without."""
        for name in WEIGHTS:
            value = state_dict.get(prefix + name)
            setattr(self, name, None if value is None else nn.Parameter(torch.empty_like(value)))
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
