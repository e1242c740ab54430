"""IndirectAlignment: new inputs keep their places among the mean features of the old classes.

The formula is in docs/theory.md, section 7.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from holdfast.anchor.divergence import forward_kl
from holdfast.core.numerics import at_least_float32, class_sums
from holdfast.core.output import outputs
from holdfast.core.step import Part, Step
from holdfast.loss.checks import require_positive
from holdfast.loss.term import Term

if TYPE_CHECKING:
    from holdfast.learner.learner import Learner
    from holdfast.stream.task import Task


def class_log_odds(
    x: Float[Tensor, "n f"], means: Float[Tensor, "k f"], T: float
) -> Float[Tensor, "n k"]:
    """Each class's log p(k|x) up to a constant of the row: -||x - c_k||^2 / T + ||x||^2 / T."""
    return (2 * x @ means.T - (means**2).sum(1)) / T


class IndirectAlignment(Term):
    """KL(p* || p) on the current inputs, with p(k|x) ~ exp(-||h(x) - c_k||^2 / T).

    c_k is the mean feature of class k in the network that learned it: a vector a class, no image.
    The same means serve the past and the new network, so value and gradient are 0 while they are
    equal. A class that comes again merges, weighted by its counts; means of older tasks are not
    moved as the network drifts. No factor T^2: near equality the strength falls as 1 / T^2.

    Args:
        T: temperature, in squared units of the features, > 0.
        on: the part it is asked of.

    Raises:
        ConfigError: for T <= 0.

    Source: Liu et al., *Incremental meta-learning via indirect discriminant alignment*, 2020
    """

    needs_past = True
    reads = ("features",)
    label = "ida"

    def __init__(self, T: float = 1.0, on: str = "batch"):
        super().__init__()
        self.T, self.on = require_positive(T), on
        self.statistics: dict[str, Tensor] = {}
        self._means: Tensor | None = None  # of the statistics, while a task is learned

    @property
    def means(self) -> Float[Tensor, "k f"]:
        """(K, f) of the classes that came before, in order."""
        if self._means is None:
            count, sums = self.statistics["count"], self.statistics["sum"]
            met = (count > 0).nonzero()[:, 0]
            self._means = sums[met] / count[met, None]
        return self._means

    def value(self, part: Part, step: Step) -> Tensor:
        """The mean over the part's rows."""
        past, now = at_least_float32(part.past.features), at_least_float32(part.out.features)
        means = self.means.to(now)
        return forward_kl(
            class_log_odds(past, means, self.T), class_log_odds(now, means, self.T)
        ).mean()

    def consolidate(self, learner: Learner, task: Task, past: Learner | None = None) -> None:
        """Add the task's features to their classes' sums and counts."""
        x, y = outputs(learner, task.train).features, task.train.y
        known = self.statistics
        classes = max(int(y.max()) + 1, len(known["count"]) if known else 0)
        self._means, self.statistics = (
            None,
            {
                "count": class_sums(known.get("count"), torch.ones_like(x[:, 0]), y, classes),
                "sum": class_sums(known.get("sum"), x, y, classes),
            },
        )

    def get_extra_state(self) -> dict[str, Tensor]:
        """Counts and sums of the classes."""
        return self.statistics

    def set_extra_state(self, state: dict[str, Tensor]) -> None:
        """Take over counts and sums."""
        self._means, self.statistics = None, state
