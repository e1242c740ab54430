"""MaskTuning: the weights stand still, and each task learns which of them to use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from holdfast.anchor.isolated import Isolated, maskable, shared_weights
from holdfast.anchor.moments import Adam
from holdfast.anchor.rule import Named
from holdfast.core.errors import ConfigError

if TYPE_CHECKING:
    from holdfast.core.step import Step
    from holdfast.learner.learner import Learner
    from holdfast.stream.task import Task


class MaskTuning(Isolated):
    """y = (m * W) a with W frozen and m = [r > threshold], r real scores that are trained.

    The gradient goes straight through the threshold: dL/dr := dL/dm = W * dL/d(m W). Scores begin
    above the threshold, so that a task begins with the network of W; their Adam has ``rate`` times the
    step's learning rate. Norms, biases and head train as usual, from the first task's norms.

    Masks find what W knows: in a first task of random weights that is nothing, so the first task trains W
    itself, unless it is told not to (``first=False``, for a backbone that was pretrained). Stored are
    W once more, a bit a weight and task, and norms, biases, projector and head whole for each task. What a
    task has learned is kept exactly; answers need a readout that asks under each state: `ByState`.

    Args:
        threshold: of the scores.
        start: of each score.
        rate: of the scores' learning rate to the step's.
        penalty: weight of ||r||_2 over all scores.
        first: whether the first task trains W in place of a mask.

    Raises:
        ConfigError: for a start at or below the threshold, or a rate or penalty below 0.

    Source: R-AMT (Regularised mask tuning), ICCV 2023 (code read): start 1e-2, threshold 5e-3, penalty
        1e-4; its gate of the gradient by the anchor's is a rule of its own
    """

    def __init__(
        self,
        threshold: float = 5e-3,
        start: float = 1e-2,
        rate: float = 0.01,
        penalty: float = 1e-4,
        first: bool = True,
    ):
        super().__init__()
        if not start > threshold:
            raise ConfigError(
                "mask scores begin above the threshold, or all weights are off: start "
                f"{start} is not above {threshold}."
            )
        if rate < 0 or penalty < 0:
            raise ConfigError(f"a rate and a penalty are at least 0, not {rate} and {penalty}.")
        self.threshold, self.start, self.rate = threshold, start, rate
        self.penalty, self.first = penalty, first
        self.scores: Named = {}  # none in a first task that trains W
        self._adam = Adam()
        self._slopes: Named = {}

    @torch.no_grad()
    def prepare(self, learner: Learner, task: Task) -> None:
        """All weights on; W in the network."""
        states, weights = learner.states, maskable(learner)
        assert states is not None
        shared = states.weights()
        self.masks = {n: torch.ones_like(w, dtype=torch.bool) for n, w in shared.items()}
        trains = self.first and not task.index
        self.scores = (
            {} if trains else {n: torch.full_like(w, self.start) for n, w in shared.items()}
        )
        self._adam = Adam()
        if trains:
            return
        if len(states):
            states.write(learner, 0, head=False)  # its norms
        for name, w in shared.items():
            weights[name].copy_(w)

    def gradient(self, gradient: Named, step: Step) -> Named:
        """The scores' gradients are taken, and the weights under them get none."""
        if not self.scores:
            return gradient
        shared = shared_weights(step)
        names = self.scores.keys() & gradient.keys()
        self._slopes = {n: gradient[n] * shared[n] for n in sorted(names)}
        if self.penalty:
            length = (
                torch.stack([r.flatten().norm() for r in self.scores.values()])
                .norm()
                .clamp_min(1e-12)
            )
            self._slopes = {
                n: g + self.penalty * self.scores[n] / length for n, g in self._slopes.items()
            }
        return {n: torch.zeros_like(g) if n in names else g for n, g in gradient.items()}

    @torch.no_grad()
    def settle(self, weights: Named, step: Step) -> None:
        """Move the scores, and write W under the new masks."""
        if not self.scores:
            return
        shared = shared_weights(step)
        self._adam.step(self.scores, self._slopes, self.rate * step.lr)
        for name in self._slopes.keys() & weights.keys():
            self.masks[name] = self.scores[name] > self.threshold
            weights[name].copy_(shared[name] * self.masks[name])
        self._slopes = {}

    def store(self, shared: Named, weights: Named) -> None:
        """W, if this task trained it."""
        if not self.scores:
            for name, w in shared.items():
                w.copy_(weights[name])

    def consolidate(self, learner: Learner, task: Task, past: Learner | None = None) -> None:
        """The scores have done their work: their masks are kept."""
        self._adam = Adam()

    def get_extra_state(self) -> dict[str, Any]:
        """Scores, masks and the optimiser of the scores."""
        return {"masks": dict(self.masks), "scores": dict(self.scores), "adam": self._adam.state()}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Take them over."""
        self.masks = dict(state["masks"])
        self.scores = {n: t.clone() for n, t in state["scores"].items()}
        self._adam = Adam.load(state["adam"])
