"""Fine-tuning in the minor singular components of a pretrained network's weights (SoMA)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from holdfast.anchor.isolated import maskable
from holdfast.anchor.moments import Adam
from holdfast.anchor.rule import Named, Rule
from holdfast.core.errors import ConfigError

if TYPE_CHECKING:
    from holdfast.core.step import Step
    from holdfast.learner.learner import Learner
    from holdfast.stream.task import Task

DECAY = 0.05, 1e-5  # of the factors, at a task's begin and end


@dataclass(frozen=True)
class Minor:
    """The triplets of a weight with the smallest singular values.

    Attributes:
        u: (out, r) left vectors.
        s: (r,) singular values.
        v: (in, r) right vectors.
    """

    u: Float[Tensor, "o r"]
    s: Float[Tensor, " r"]
    v: Float[Tensor, "i r"]

    def within(self, delta: Tensor) -> Tensor:
        """U U^T delta V V^T, in delta's shape: a convolution counts as (out, in k k)."""
        flat = self.u @ ((self.u.T @ delta.flatten(1)) @ self.v) @ self.v.T
        return flat.view(delta.shape)


def minor_components(weight: Float[Tensor, "o ..."], rank: int) -> Minor:
    """The r smallest of the min(out, in) singular triplets, found in double precision.

    Args:
        weight: (out, in) or (out, in, k, k).
        rank: r; all of them, if there are fewer.

    >>> minor_components(torch.diag(torch.tensor([3.0, 1.0, 2.0])), 2).s.tolist()
    [2.0, 1.0]
    """
    u, s, v = torch.linalg.svd(weight.detach().flatten(1).double(), full_matrices=False)
    rank = min(rank, len(s))
    some = slice(len(s) - rank, len(s))
    return Minor(*(t.to(weight) for t in (u[:, some], s[some], v[some].T)))


class _Tuning(Rule):
    """What both variants share: which weights, and the rank."""

    def __init__(self, rank: int = 16, first: bool = False):
        super().__init__()
        if rank < 1:
            raise ConfigError(f"the rank of minor components is at least 1, not {rank}.")
        self.rank, self.first = rank, first

    def minors(self, learner: nn.Module, task: Task) -> dict[str, Minor]:
        """Of every weight, where the rule is in force in a task; none otherwise."""
        if task.few or (task.index == 0 and not self.first):
            return {}
        return {n: minor_components(w, self.rank) for n, w in maskable(learner).items()}


class MinorHeld(_Tuning):
    """Weights move in their minor singular components alone: delta <- U_r U_r^T delta V_r V_r^T.

    So dW = U_r C V_r^T, and what a layer says of inputs in the span of the other right vectors never moves.
    The components are found anew when a task begins. Norms, biases and head move freely.

    The minor directions of a network that was trained from random weights mean little: it is for
    pretrained backbones; without ``first`` the first task moves all.

    Args:
        rank: r, of every linear layer and convolution of the backbone.
        first: whether it is in force in the first task too.

    Raises:
        ConfigError: for a rank below 1, or a backbone without such weights that are trained.

    Source: derived here from SoMA, whose factors leave the minor subspace (`MinorFactors`)
    """

    def __init__(self, rank: int = 16, first: bool = False):
        super().__init__(rank, first)
        self._minors: dict[str, Minor] = {}

    @torch.no_grad()
    def begin(self, learner: Learner, task: Task) -> None:
        """Find the components."""
        self._minors = self.minors(learner, task)

    def update(self, delta: Named, step: Step) -> Named:
        """The moves within the components."""
        return {n: self._minors[n].within(d) if n in self._minors else d for n, d in delta.items()}

    def get_extra_state(self) -> dict[str, Any]:
        """The components, for a task that is resumed."""
        return {n: {"u": m.u, "s": m.s, "v": m.v} for n, m in self._minors.items()}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Take them over."""
        self._minors = {n: Minor(**one) for n, one in state.items()}


class MinorFactors(_Tuning):
    """W = W_res + B A with W_res frozen, A = sqrt(s_r) V_r^T and B = U_r sqrt(s_r) of the minor components.

    B and A are trained, dL/dB = G A^T and dL/dA = B^T G of the gradient G at W, by AdamW at ``rate`` times
    the step's learning rate, its decay falling by a cosine from 0.05 to 1e-5 over the task. After the first
    step B A is in the minor subspace no more. The learner's own weights are W at all times, so that
    every anchor and curvature sees them, and a task ends merged: the next one takes a new decomposition.

    For pretrained backbones, as `MinorHeld`; the published work tunes attention and MLP of the later two
    thirds of the blocks (--tune-layers).

    Args:
        rank: r.
        first: whether it is in force in the first task too.
        rate: of the factors' learning rate to the step's.

    Raises:
        ConfigError: for a rank below 1, a rate below 0, or a backbone that trains no such weights.

    Source: Yun et al., *SoMA: singular value decomposed minor components adaptation*, CVPR 2025 (code read)
    """

    def __init__(self, rank: int = 16, first: bool = False, rate: float = 0.01):
        super().__init__(rank, first)
        if rate < 0:
            raise ConfigError(f"the rate of minor factors is at least 0, not {rate}.")
        self.rate = rate
        self.factors: Named = {}  # "A name" and "B name"
        self.rest: Named = {}
        self._adam = Adam()
        self._slopes: Named = {}

    @torch.no_grad()
    def begin(self, learner: Learner, task: Task) -> None:
        """Cut the weights in two."""
        weights, self.factors, self.rest, self._adam = maskable(learner), {}, {}, Adam()
        for name, m in self.minors(learner, task).items():
            root = m.s.sqrt()
            a, b = root[:, None] * m.v.T, m.u * root
            self.factors |= {f"A {name}": a.contiguous(), f"B {name}": b.contiguous()}
            self.rest[name] = weights[name].detach().flatten(1) - b @ a

    def gradient(self, gradient: Named, step: Step) -> Named:
        """The factors' gradients are taken, and their weights get none."""
        output = dict(gradient)
        for name in self.rest.keys() & gradient.keys():
            g, a, b = (
                gradient[name].flatten(1),
                self.factors[f"A {name}"],
                self.factors[f"B {name}"],
            )
            self._slopes |= {f"A {name}": b.T @ g, f"B {name}": g @ a.T}
            output[name] = torch.zeros_like(gradient[name])
        return output

    @torch.no_grad()
    def settle(self, weights: Named, step: Step) -> None:
        """Move the factors, and write W."""
        if not self.rest:
            return
        done = step.epoch / max(1, step.epochs)
        decay = DECAY[1] + (DECAY[0] - DECAY[1]) * (1 + math.cos(math.pi * done)) / 2
        slopes = {n: self._slopes[n] for n in sorted(self._slopes)}
        self._adam.step(self.factors, slopes, self.rate * step.lr, decay)
        for name in self.rest.keys() & weights.keys():
            flat = self.rest[name] + self.factors[f"B {name}"] @ self.factors[f"A {name}"]
            weights[name].copy_(flat.view(weights[name].shape))
        self._slopes = {}

    def adjust(self, learner: Learner, task: Task) -> None:
        """Nothing is left to merge."""
        self.factors, self.rest, self._adam = {}, {}, Adam()

    def get_extra_state(self) -> dict[str, Any]:
        """The factors, what they leave, and their optimiser."""
        return {
            "factors": dict(self.factors), "rest": dict(self.rest), "adam": self._adam.state(),
        }  # fmt: skip

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Take them over."""
        self.factors = {n: f.clone() for n, f in state["factors"].items()}
        self.rest, self._adam = dict(state["rest"]), Adam.load(state["adam"])
