"""SparseTraining: each task trains a sparse network of its own inside one, whose connections move."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from holdfast.anchor.density import Spread, layer_densities
from holdfast.anchor.isolated import Isolated, Masks, maskable, shared_weights
from holdfast.anchor.rule import Named
from holdfast.core.errors import ConfigError
from holdfast.loss.checks import require_option

if TYPE_CHECKING:
    from holdfast.core.step import Step
    from holdfast.learner.learner import Learner
    from holdfast.stream.task import Task

LOG = logging.getLogger("holdfast.anchor.sparse")
Growth = Literal["random", "gradient", "momentum", "unfired"]
FIRST, LAST = 0.5, 0.005  # share of a layer's weights that is swapped, at a task's begin and end
BETAS = 0.9, 0.999  # of the moments by which ``momentum`` grows


def swapped(
    mask: Bool[Tensor, ...],
    weight: Float[Tensor, ...],
    free: Bool[Tensor, ...],
    score: Float[Tensor, ...],
    share: float,
) -> Bool[Tensor, ...]:
    """A mask without its smallest weights, and with as many others: the candidates of the largest score.

    Dropped are ceil(share n) of the n weights that are in the mask and free, or as many as there are
    candidates, if those are fewer; what is dropped does not grow again at once.

    Args:
        mask: of a layer.
        weight: of it.
        free: the weights that may move.
        score: of the weights that may grow; -inf for the others.
        share: in [0, 1].
    """
    active, able = mask & free, (score > -torch.inf) & ~mask
    count = min(math.ceil(share * int(active.sum())), int(able.sum()))
    size = torch.where(active, weight.abs(), torch.inf).flatten()
    rank = torch.where(able, score, -torch.inf).flatten()
    output = mask.flatten().clone()
    output[size.topk(count, largest=False).indices] = False
    output[rank.topk(count).indices] = True
    return output.view_as(mask)


class SparseTraining(Isolated):
    """Dynamic sparse training, a mask a task; what a task has trained no later one changes.

    A task's mask has the density of `layer_densities`, drawn at random. Every so many steps the share z
    of a layer's free weights with the smallest |w| is dropped, z falling by a cosine from 0.5 to 0.005 over
    the task's epochs, and as many grow elsewhere, from 0: ``random``; those of the largest ``gradient``, or
    of the largest ``momentum`` m / sqrt(v); or ``unfired``, random ones that the task has not had yet,
    while there are any. After each step w <- m w, and weights that an earlier task used keep their bits.

    Two faults of the published code are not here: norms and biases are kept whole in each task's
    state, so that batch norm drifts in no old task; and a used weight that grows has its stored value, not
    0 while it is trained and another when it is asked. When a task ends, weights outside its mask are as
    before. With ``erk`` small layers are dense, and so the first task's for good.

    Stored are the shared weights once more, a bit a weight and task, and norms, biases, projector and head
    whole for each task. Answers need a readout that asks under each state: `ByState`.

    Args:
        density: of a task's network, in (0, 1].
        spread: ``erk`` or ``uniform``.
        grow: ``random``, ``gradient``, ``momentum`` or ``unfired``.
        every: steps between two swaps; 0 never swaps.
        reuse: whether a mask may have weights of earlier tasks, frozen. Without, a network is full after
            about 1 / density tasks.

    Raises:
        ConfigError: for an unknown spread or growth, a density outside (0, 1], a negative number of steps.

    Source: Yildirim, Yildirim, Vanschoren, *Continual learning with dynamic sparse training*, CPAL 2024
        (code read)
    """

    def __init__(
        self,
        density: float = 0.2,
        spread: Spread = "erk",
        grow: Growth = "gradient",
        every: int = 100,
        reuse: bool = True,
    ):
        super().__init__()
        require_option("spread of a sparse network", spread, get_args(Spread))
        require_option("growth of a sparse network", grow, get_args(Growth))
        layer_densities({}, density, "uniform")
        if every < 0:
            raise ConfigError(f"a sparse network swaps every so many steps, not {every}.")
        self.density, self.grow = density, grow
        self.spread: Spread = spread
        self.every, self.reuse = every, reuse
        self._steps = 0  # of this task
        self._used: Masks = {}
        self._fired: Masks = {}
        self._moments: dict[str, tuple[Tensor, Tensor]] = {}
        self._dense: Named = {}  # gradients of the step that swaps

    @torch.no_grad()
    def prepare(self, learner: Learner, task: Task) -> None:
        """Draw the task's masks, and write its network: used weights as they are, others as they began."""
        states, weights = learner.states, maskable(learner)
        assert states is not None
        self._used = states.used()
        shared = states.weights()
        shapes = {name: tuple(w.shape) for name, w in shared.items()}
        parts = layer_densities(shapes, self.density, self.spread)
        self.masks = {n: self._drawn(self._used[n], parts[n]) for n in shapes}
        self._fired = {n: m.clone() for n, m in self.masks.items()} if self._unfired else {}
        self._moments, self._steps = {}, 0
        self._warn_if_full(task)
        for name, mask in self.masks.items():
            weights[name].copy_(shared[name] * mask)

    def _drawn(self, used: Bool[Tensor, ...], density: float) -> Bool[Tensor, ...]:
        """A random mask of a layer, of all weights or of the free ones."""
        chance = _chance(used)
        if not self.reuse:
            chance = chance.masked_fill(used, -1)
        count = max(1, round(density * used.numel()))
        if not self.reuse:
            count = min(count, int((~used).sum()))
        mask = torch.zeros_like(used).flatten()
        mask[chance.flatten().topk(count).indices] = True
        return mask.view_as(used)

    @property
    def _unfired(self) -> bool:
        return self.grow == "unfired"

    def _warn_if_full(self, task: Task) -> None:
        full = [n for n, mask in self.masks.items() if not bool((mask & ~self._used[n]).any())]
        if full:
            LOG.warning(
                "task %d: no free weight left in %d of %d layers, such as %s: they learn nothing new "
                "(density %g for each task)",
                task.index + 1, len(full), len(self.masks), full[0], self.density,
            )  # fmt: skip

    def gradient(self, gradient: Named, step: Step) -> Named:
        """Gradients of free weights inside the mask; at a swap, where others would grow is noted."""
        used = self._used_by(step)
        output = dict(gradient)
        swaps = self.every and self._steps % self.every == self.every - 1
        for name in self.masks.keys() & gradient.keys():
            g = gradient[name]
            if swaps and self.grow == "gradient":
                self._dense[name] = g.abs()
            elif self.grow == "momentum":
                self._note_moments(name, g, bool(swaps))
            output[name] = g * (self.masks[name] & ~used[name])
        return output

    def _note_moments(self, name: str, g: Tensor, swaps: bool) -> None:
        m, v = self._moments.get(name, (torch.zeros_like(g), torch.zeros_like(g)))
        m, v = BETAS[0] * m + (1 - BETAS[0]) * g, BETAS[1] * v + (1 - BETAS[1]) * g.square()
        self._moments[name] = (m, v)
        if swaps:
            self._dense[name] = m.abs() / (v.sqrt() + 1e-8)

    @torch.no_grad()
    def settle(self, weights: Named, step: Step) -> None:
        """Weights outside the mask are 0, used ones as they were; now and then the mask moves."""
        shared, used = shared_weights(step), self._used_by(step)
        self._steps += 1
        swaps = self.every and self._steps % self.every == 0
        for name in self.masks.keys() & weights.keys():
            self._write(name, weights, shared, used)
            if swaps:
                self._swap(name, weights[name], used[name], step)
                self._write(name, weights, shared, used)
        self._dense = {}

    def _write(self, name: str, weights: Named, shared: Named, used: Masks) -> None:
        mask = self.masks[name]
        kept = torch.where(mask & used[name], shared[name], weights[name] * mask)
        weights[name].copy_(kept)

    def _swap(self, name: str, weight: Tensor, used: Tensor, step: Step) -> None:
        score = self._dense.get(name)
        score = _chance(weight) if score is None else score
        if self._unfired:  # random as the rest, once there are no others
            score = score + (~self._fired[name]).to(score)
        if not self.reuse:
            score = score.masked_fill(used, -torch.inf)
        done = step.epoch / max(1, step.epochs)
        share = LAST + (FIRST - LAST) * (1 + math.cos(math.pi * done)) / 2
        self.masks[name] = swapped(self.masks[name], weight, ~used, score, share)
        if self._unfired:
            self._fired[name] = self._fired[name] | self.masks[name]

    def _used_by(self, step: Step) -> Masks:
        """The weights of earlier tasks; found again after a state was loaded."""
        states = None if step.learner is None else step.learner.states
        if not self._used and states is not None:
            self._used = states.used()
        return self._used

    def store(self, shared: Named, weights: Named) -> None:
        """What the mask holds; the rest is as it was."""
        for name, mask in self.masks.items():
            shared[name].copy_(torch.where(mask, weights[name], shared[name]))

    def consolidate(self, learner: Learner, task: Task, past: Learner | None = None) -> None:
        """What only a task in progress needs is let go."""
        self._moments, self._fired, self._used = {}, {}, {}

    def get_extra_state(self) -> dict[str, Any]:
        """The masks, and what chooses the next ones."""
        return {
            "masks": dict(self.masks),
            "steps": self._steps,
            "fired": dict(self._fired),
            "moments": dict(self._moments),
        }

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Take them over."""
        self.masks, self._steps = dict(state["masks"]), int(state["steps"])
        self._fired, self._moments = dict(state["fired"]), dict(state["moments"])
        self._used = {}


def _chance(like: Tensor) -> Float[Tensor, ...]:
    """Uniform numbers of a shape, the same however that tensor lies in memory."""
    return torch.rand(like.numel(), device=like.device).view(like.shape)
