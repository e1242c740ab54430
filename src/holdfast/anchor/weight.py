"""Weight anchors: the new weights must stay where the old tasks need them (docs/theory.md, section 6)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from holdfast.anchor.prior import Anchored, Prior, weights_in
from holdfast.anchor.rule import Named, Rule
from holdfast.core.errors import ConfigError
from holdfast.core.step import Part, Step
from holdfast.curvature.importance import Importance
from holdfast.curvature.matrix import Diagonal
from holdfast.loss.term import Term


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
        self.before: Named = {}

    def gradient(self, gradient: Named, step: Step) -> Named:
        """Untouched; notes where the weights are before the optimiser moves them."""
        if self.prior.quadratics:
            self.before = {name: w.detach().clone() for name, w in weights_in(step).items()}
        return gradient

    def update(self, delta: Named, step: Step) -> Named:
        """The optimiser's move, drawn back towards the centres."""
        quadratics, before, self.before = self.prior.quadratics, self.before, {}
        if not quadratics:
            return delta
        last = quadratics[-1].layout
        here = last.flat(before)
        move = last.flat({name: delta.get(name, torch.zeros_like(w)) for name, w in before.items()})
        pull, force = torch.zeros_like(here), torch.zeros_like(here)
        for quadratic in quadratics:
            assert isinstance(quadratic.H, Diagonal)
            S = step.lr * self.prior.scale(step) * quadratic.H.spread(last)
            at = last.places(quadratic.layout).to(here.device)
            centre = here.index_copy(0, at, quadratic.centre)
            pull, force = pull + S, force + S * (centre - here)
        moved = last.split((move + force) / (1 + pull))
        return delta | {name: _rows(delta[name], moved[name]) for name in moved if name in delta}


def _rows(whole: Tensor, first: Tensor) -> Tensor:
    """A tensor with its first rows replaced: those that the anchor knows."""
    return torch.cat([first, whole[len(first) :]])
