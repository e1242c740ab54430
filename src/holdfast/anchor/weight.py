"""Weight anchors: the new weights must stay where the old tasks need them (docs/theory.md, section 6)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from holdfast.anchor.draw_back import DrawBack
from holdfast.anchor.prior import Anchored, Prior, weights_in
from holdfast.anchor.rule import Named, Rule
from holdfast.core.errors import ConfigError
from holdfast.core.step import Part, Step
from holdfast.curvature.importance import Importance
from holdfast.loss.term import Term

if TYPE_CHECKING:
    from holdfast.learner.learner import Learner
    from holdfast.stream.task import Task


class Quadratic(Anchored, Term):
    """scale/2 (w - w0)^T H (w - w0), with H from a curvature or another importance.

    With a curvature, H is a sum over the old data's images and scale = weight / n for the n images
    of the new task, because the task's loss is a mean over them: weight 1 counts all the old data
    once. With SI, MAS or L2, scale = weight. The value, and its ratio to the rest of the loss, are
    in the log (``quadratic``, ``quadratic/loss``); so give the weight here, not as a factor outside.

    Covered are the trainable weights of backbone and head (of backbone and projector under
    `FrameSoftmax`), with scale and shift of batch norm unless ``norm=False``; running statistics
    are no weights and move freely. Rows of the head that came later are not covered.

    Args:
        importance: what H is: `Curvature`, `PathIntegral`, `MemoryAware` or `Unit`.
        weight: at least 0.
        decay: gamma of the online sum H <- gamma H + H_task, around the newest w0.
        per_task: instead one quadratic a task at its own centre, as in the original EWC.
        norm: whether batch norm's scale and shift are covered.
        linear: add scale g0.(w - w0), g0 the summed old loss's gradient at w0, if that was not 0.

    Raises:
        ConfigError: for numbers outside their range, frozen weights, or a network of other shapes.

    Source: Kirkpatrick et al. (2017); Schwarz et al. (2018) for the online sum; docs/theory.md, section 6.
    """

    penalty = True
    label = "quadratic"

    def value(self, part: Part, step: Step) -> Tensor:
        """The scaled quadratics of the earlier tasks; 0 in the first."""
        weights = weights_in(step)
        if not self.prior.quadratics:
            self.prior.check(step)
            return step.zero
        self.prior.warn_if_stiff(step)
        return self.prior.scale(step) * penalty(self.prior, weights)


def penalty(prior: Prior, weights: Mapping[str, Tensor]) -> Tensor:
    """sum_t 1/2 (w - w_t)^T H_t (w - w_t), not scaled."""
    return torch.stack([quadratic.value(weights) for quadratic in prior.quadratics]).sum()


class Proximal(Anchored, Rule):
    """The diagonal quadratic as an exact implicit step after the optimiser's: it cannot diverge.

    The optimiser moves w to u; then w becomes the minimum of |w - u|^2 / (2 lr) + the quadratics,
    (I + sum_t S_t)^-1 (u + sum_t S_t w_t), S_t = lr scale H_t. Every weight ends between
    u and the centres, however large the weight. The arguments are those of
    `Quadratic`, without ``linear``.

    Raises:
        ConfigError: as `Quadratic`, and for an H that is no diagonal.

    Source: Parikh and Boyd, *Proximal algorithms* (2014), for the operator; docs/theory.md, section 6.
    """

    def __init__(
        self,
        importance: Importance,
        weight: float = 1.0,
        decay: float = 1.0,
        per_task: bool = False,
        norm: bool = True,
    ):
        super().__init__(importance, weight, decay, per_task, norm)
        if importance.structure != "diagonal":
            raise ConfigError(
                f"the Proximal anchor needs structure='diagonal', not '{importance.structure}'."
            )
        self._draw_back: DrawBack | None = None

    def settle(self, weights: Named, step: Step) -> None:
        """Draw the weights that were moved back towards the centres."""
        quadratics = self.prior.quadratics
        if not quadratics:
            return
        if self._draw_back is None or self._draw_back.quadratics is not quadratics:
            self._draw_back = DrawBack(quadratics)
        self._draw_back.move(weights, step.lr * self.prior.scale(step))

    def consolidate(self, learner: Learner, task: Task, past: Learner | None = None) -> None:
        """Take the learner's weights as a centre, and the task's H."""
        self._draw_back = None
        super().consolidate(learner, task, past)
