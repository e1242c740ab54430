"""Prior: the quadratic that earlier tasks leave on the weights, shared by its two uses (THEORY 6)."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from holdfast.anchor.curvature import Importance
from holdfast.anchor.layout import Layout
from holdfast.anchor.persample import weights_of
from holdfast.errors import ConfigError

if TYPE_CHECKING:
    from holdfast.learner.learner import Learner
    from holdfast.step import Step
    from holdfast.stream.task import Task


@dataclass(frozen=True)
class Post:
    """One quadratic: 1/2 (w - centre)^T H (w - centre) over the weights of a layout.

    Attributes:
        layout: which weights.
        centre: (P,) w0.
        H: (P,) a diagonal, or (P, P).
    """

    layout: Layout
    centre: Tensor
    H: Tensor

    def value(self, weights: Mapping[str, Tensor]) -> Tensor:
        """The quadratic at weights by name, with its graph."""
        away = self.layout.flat(weights) - self.centre
        return 0.5 * (away * (self.H * away if self.H.ndim == 1 else self.H @ away)).sum()

    def spread(self, layout: Layout) -> Tensor:
        """H in a layout that has grown since; nothing is known of the new weights."""
        if layout == self.layout:
            return self.H
        at = layout.places(self.layout).to(self.H.device)
        if self.H.ndim == 1:
            return self.H.new_zeros(layout.size).index_copy(0, at, self.H)
        grown = self.H.new_zeros(layout.size, layout.size)
        grown[at[:, None], at] = self.H
        return grown


class Prior(nn.Module):
    """The quadratics of earlier tasks: one that sums their precisions, or one for each.

    Online, H <- decay * H + H_task around the newest w0; per task, each keeps its own centre (P or
    P^2 numbers more a task).

    Args:
        importance: gives H_task.
        weight: 1 is all the old data once: a summed H is divided by the number of images of the
            new task, over which its loss is a mean. An importance that is no sum (SI, MAS, L2) is
            multiplied by the weight alone.
        decay: gamma of the online sum, in [0, 1].
        per_task: one quadratic a task, each at its own centre.
        norm: whether scale and shift of batch norm are covered.

    Raises:
        ConfigError: for a weight below 0 or a decay outside [0, 1].
    """

    def __init__(
        self,
        importance: Importance,
        weight: float = 1.0,
        decay: float = 1.0,
        per_task: bool = False,
        norm: bool = True,
    ):
        super().__init__()
        if not weight >= 0:
            raise ConfigError(f"a weight anchor's weight must be at least 0, not {weight}.")
        if not 0 <= decay <= 1:
            raise ConfigError(f"a weight anchor's decay must be between 0 and 1, not {decay}.")
        self.importance, self.weight, self.decay = importance, weight, decay
        self.per_task, self.norm = per_task, norm
        self.posts: list[Post] = []
        self.steepest, self.warned, self.checked = 0.0, False, False

    def check(self, step: Step) -> None:
        """Refuse a network with nothing to hold at the first step, not after the first task."""
        if not self.checked and step.learner is not None:
            self.layout(step.learner)
            self.checked = True

    def layout(self, learner: nn.Module) -> Layout:
        """The weights covered when a task ends now."""
        return self.importance.layout(learner, self.norm)

    def consolidate(self, learner: Learner, task: Task) -> None:
        """Take the learner's weights as a centre, and the task's H."""
        layout = self.layout(learner)
        centre, H = (
            layout.flat(weights_of(learner)),
            self.importance.of(learner, task, layout).detach(),
        )
        if self.posts and not self.per_task:
            H = self.decay * self.posts[0].spread(layout) + H
        post = Post(layout, centre, H)
        self._take([*self.posts, post] if self.per_task else [post])

    def scale(self, step: Step) -> float:
        """What 1/2 (w-w0)^T H (w-w0) is multiplied by beside this step's mean loss."""
        return self.weight / step.size if self.importance.summed else self.weight

    def warn_if_stiff(self, step: Step) -> None:
        """Warn once if plain gradient steps on the quadratic would diverge: lr weight max(H) > 2."""
        stiffness = step.lr * self.scale(step) * self.steepest
        if stiffness > 2 and not self.warned:
            self.warned = True
            warnings.warn(
                f"lr * weight * max(H) is {stiffness:.3g}, over 2, where gradient steps on a weight "
                "anchor diverge: lower the lr or the weight, or use the Proximal anchor, which cannot.",
                stacklevel=2,
            )

    def _take(self, posts: list[Post]) -> None:
        self.posts, self.steepest = posts, 0.0
        if posts:
            total = sum(
                (p.spread(posts[-1].layout) for p in posts[1:]), posts[0].spread(posts[-1].layout)
            )
            top = total if total.ndim == 1 else torch.linalg.eigvalsh(total)
            self.steepest = float(top.max())

    def get_extra_state(self) -> list[dict[str, Any]]:
        """Centres and curvatures with the weights they cover."""
        return [{"shapes": dict(p.layout.shapes), "centre": p.centre, "H": p.H} for p in self.posts]

    def set_extra_state(self, state: list[dict[str, Any]]) -> None:
        """Take them over; a network of other shapes is refused when it is first used with them."""
        self._take([Post(Layout(s["shapes"]), s["centre"], s["H"]) for s in state])


def weights_in(step: Step) -> dict[str, nn.Parameter]:
    """The weights that a step moves, by name.

    Raises:
        ConfigError: if the step was made without its learner.
    """
    if step.learner is None:
        raise ConfigError("a weight anchor needs Step(..., learner=...): it was made without.")
    return dict(step.learner.named_parameters())
