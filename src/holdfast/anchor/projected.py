"""ProjectedDistillation: a trained map must find the past features in the present ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from holdfast.anchor.feature import Distance, FeatureDistillation, Space, feature_distillation
from holdfast.core.output import outputs
from holdfast.core.step import Part, Step
from holdfast.learner.feature_map import FeatureMap, MapKind

if TYPE_CHECKING:
    from holdfast.learner.learner import Learner
    from holdfast.stream.task import Task


class ProjectedDistillation(FeatureDistillation):
    """`feature_distillation` of D(h), where D is trained with the network: new features to past ones.

    What the past network told apart must still be there, in any form that D can undo; features may
    turn and grow otherwise. D starts at the identity, where this is `FeatureDistillation`, is trained for
    one task by its optimiser, and is forgotten when the task ends.

    Args:
        kind: of D: ``linear`` or ``mlp``.
        times: hidden units of ``mlp``, as a multiple of the width.
        distance: ``square`` or ``cosine``.
        of: ``features`` or ``embedding``.
        on: the part it is asked of.

    Raises:
        ConfigError: for an unknown kind, distance or space.

    Source: Rypesc et al., *Task-recency bias strikes back* (AdaGauss), NeurIPS 2024
    """

    label = "projected"

    def __init__(
        self,
        kind: MapKind = "mlp",
        times: int = 4,
        distance: Distance = "square",
        of: Space = "features",
        on: str = "batch",
    ):
        super().__init__(distance, of, on)
        self.back = FeatureMap(kind, times)

    def value(self, part: Part, step: Step) -> Tensor:
        """The mean over the part's rows."""
        now, past = self.back(getattr(part.out, self.of)), getattr(part.past, self.of)
        return feature_distillation(now, past.to(now), self.distance, self.spread)

    def begin(self, learner: Learner, task: Task) -> None:
        """Make the map, from the second task on."""
        super().begin(learner, task)
        if not task.index:
            return
        features = getattr(outputs(learner, task.train), self.of)
        for each in self.maps():
            each.open(features, learner.head.weight)

    def consolidate(self, learner: Learner, task: Task, past: Learner | None = None) -> None:
        """Forget the map, and measure the task's rows."""
        for each in self.maps():
            each.close()
        super().consolidate(learner, task, past)

    def maps(self) -> list[FeatureMap]:
        """The maps it trains."""
        return [module for module in self.modules() if isinstance(module, FeatureMap)]
