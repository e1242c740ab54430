"""Prior: the quadratic that earlier tasks leave on the weights, shared by its two uses.

The formulas are in docs/theory.md, section 6.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from holdfast.core.errors import ConfigError
from holdfast.curvature.eigenvalues import max_eigenvalue
from holdfast.curvature.importance import Importance
from holdfast.curvature.layout import Layout
from holdfast.curvature.matrix import Matrix, matrix_from
from holdfast.curvature.persample import weights_of
from holdfast.learner.effective import effective_weights

if TYPE_CHECKING:
    from holdfast.core.step import Step
    from holdfast.learner.learner import Learner
    from holdfast.stream.task import Task


@dataclass(frozen=True)
class TaskQuadratic:
    """One quadratic: g0.(w - centre) + 1/2 (w - centre)^T H (w - centre).

    Attributes:
        centre: (P,) w0.
        H: over the weights of its layout.
        gradient: (P,) g0, what is left of the gradient at w0; None leaves it out.
    """

    centre: Tensor
    H: Matrix
    gradient: Tensor | None = None

    @property
    def layout(self) -> Layout:
        """Which weights."""
        return self.H.layout

    def value(self, weights: Mapping[str, Tensor]) -> Tensor:
        """The quadratic at weights by name, with its graph."""
        away = self.layout.flat(weights) - self.centre
        quadratic = 0.5 * (away * self.H.times(away)).sum()
        return quadratic if self.gradient is None else quadratic + (self.gradient * away).sum()

    def gradient_at(self, w: Tensor) -> Tensor:
        """(P,) its gradient at the weights of a layout's first numbers."""
        pull = self.H.times(w - self.centre)
        return pull if self.gradient is None else pull + self.gradient


class Prior(nn.Module):
    """The quadratics of earlier tasks: one that sums their precisions, or one for each.

    Online, H <- decay * H + H_task around the newest w0; per task, each keeps its own centre.

    Args:
        importance: gives H_task.
        weight: 1 is all the old data once: a summed H is divided by the number of images of the
            new task, over which its loss is a mean. An importance that is no sum (SI, MAS, L2) is
            multiplied by the weight alone.
        decay: gamma of the online sum, in [0, 1].
        per_task: one quadratic a task, each at its own centre.
        norm: whether scale and shift of batch norm are covered.
        linear: keep the linear term g0.(w - w0) of losses whose gradient was not 0 at w0.

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
        linear: bool = False,
    ):
        super().__init__()
        if not weight >= 0:
            raise ConfigError(f"a weight anchor's weight must be at least 0, not {weight}.")
        if not 0 <= decay <= 1:
            raise ConfigError(f"a weight anchor's decay must be between 0 and 1, not {decay}.")
        if linear and not importance.summed:
            raise ConfigError(
                f"linear=True needs a curvature, and {type(importance).__name__} is of no loss."
            )
        self.importance, self.weight, self.decay = importance, weight, decay
        self.per_task, self.norm, self.linear = per_task, norm, linear
        self.quadratics: list[TaskQuadratic] = []
        self.max_eigenvalue, self.warned, self.checked = 0.0, False, False

    def check(self, step: Step) -> None:
        """Refuse a network with nothing to hold at the first step, not after the first task."""
        if not self.checked and step.learner is not None:
            self.layout(step.learner)
            self.checked = True

    def layout(self, learner: nn.Module) -> Layout:
        """The weights covered when a task ends now."""
        return self.importance.layout(learner, self.norm)

    def consolidate(self, learner: Learner, task: Task) -> None:
        """Take the learner's weights as a centre, and the task's H (and g0)."""
        layout = self.layout(learner)
        centre, H = layout.flat(weights_of(learner)), self.importance.measure(learner, task, layout)
        gradient = self.importance.gradient(learner, task, layout) if self.linear else None
        if self.quadratics and not self.per_task:
            last = self.quadratics[0]
            H = last.H.scaled(self.decay).plus(H)
            if gradient is not None:  # the older quadratic's own gradient at the new centre
                at = layout.places(last.layout).to(gradient.device)
                gradient = gradient.index_add(0, at, self.decay * last.gradient_at(centre[at]))
        newest = TaskQuadratic(centre, H, gradient)
        self._take([*self.quadratics, newest] if self.per_task else [newest])

    def scale(self, step: Step) -> float:
        """What 1/2 (w-w0)^T H (w-w0) is multiplied by beside this step's mean loss."""
        return self.weight / step.size if self.importance.summed else self.weight

    def warn_if_stiff(self, step: Step) -> None:
        """Warn once if plain gradient steps on the quadratic would diverge: lr weight max(H) > 2."""
        stiffness = step.lr * self.scale(step) * self.max_eigenvalue
        if stiffness > 2 and not self.warned:
            self.warned = True
            warnings.warn(
                f"lr * weight * max(H) is {stiffness:.3g}, over 2, where gradient steps on a weight "
                "anchor diverge: lower the lr or the weight, or use the Proximal anchor, which cannot.",
                stacklevel=2,
            )

    def _take(self, quadratics: list[TaskQuadratic]) -> None:
        self.quadratics = quadratics
        self.max_eigenvalue = max_eigenvalue([quadratic.H for quadratic in quadratics])

    def get_extra_state(self) -> list[dict[str, Any]]:
        """Centres and curvatures with the weights they cover."""
        return [
            {"shapes": dict(p.layout.shapes), "centre": p.centre, "H": p.H.tensors()}
            | ({} if p.gradient is None else {"slope": p.gradient})
            for p in self.quadratics
        ]

    def set_extra_state(self, state: list[dict[str, Any]]) -> None:
        """Take them over; a network of other shapes is refused when it is first used with them."""
        layouts = [Layout({n: tuple(s) for n, s in one["shapes"].items()}) for one in state]
        self._take(
            [
                TaskQuadratic(one["centre"], matrix_from(layout, one["H"]), one.get("slope"))
                for layout, one in zip(layouts, state, strict=True)
            ]
        )


class Anchored(nn.Module):
    """What `Quadratic` and `Proximal` share: a prior, which takes in every task that ends."""

    def __init__(
        self,
        importance: Importance,
        weight: float = 1.0,
        decay: float = 1.0,
        per_task: bool = False,
        norm: bool = True,
        linear: bool = False,
    ):
        super().__init__()
        self.prior = Prior(importance, weight, decay, per_task, norm, linear)
        self.reads, self.asks = ("weights",), importance.reads

    def covered(self, learner: nn.Module) -> list[str]:
        """Names of the weights that it holds once a task has ended."""
        return list(self.prior.layout(learner).shapes)

    def consolidate(self, learner: Learner, task: Task, past: Learner | None = None) -> None:
        """Take the learner's weights as a centre, and the task's H."""
        self.prior.consolidate(learner, task)

    def diagnostics(self, learner: Learner, task: Task) -> dict[str, float]:
        """How far the weights are from where a quadratic is the loss: after a task, before the next.

        Returns:
            ``weights``: P; ``max_eigenvalue``: the largest eigenvalue of the summed H; ``gradient``:
            norm of the summed loss's gradient, 0 at a stationary point, for a curvature alone.
        """
        layout = self.prior.layout(learner)
        gradient = self.prior.importance.gradient(learner, task, layout)
        return {
            "weights": float(layout.size),
            "max_eigenvalue": self.prior.max_eigenvalue,
        } | ({} if gradient is None else {"gradient": float(gradient.norm())})


def weights_in(step: Step) -> dict[str, Tensor]:
    """The effective weights that a step moves, by name, with their graphs.

    Raises:
        ConfigError: if the step was made without its learner.
    """
    if step.learner is None:
        raise ConfigError("a weight anchor needs Step(..., learner=...): it was made without.")
    return effective_weights(step.learner)
