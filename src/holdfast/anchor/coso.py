"""CoSO: training in the leading directions of the gradients, away from those of old tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from holdfast.anchor.rule import Named
from holdfast.anchor.subspace import HEAD, HeadKind, HeldBases, Side
from holdfast.anchor.subspace_basis import kept_of, signed, sketched
from holdfast.anchor.subspace_inputs import dense_layers
from holdfast.core.errors import ConfigError
from holdfast.core.step import Step

if TYPE_CHECKING:
    from holdfast.learner.learner import Learner
    from holdfast.stream.task import Task


class CoSO(HeldBases):
    """Continuous subspace optimisation: G <- Q Q^T (G - M M^T G), M what gradients of old tasks spanned.

    Each layer has M, the directions of old tasks; Q, the r1 leading left singular vectors of
    G' = G - M M^T G, new every K steps; and a frequent-directions sketch B of rank r2 of the
    task's G' (`sketched`). When a task ends, M takes in the leading left singular vectors of B up to
    the share eps of its energy, and B and Q begin anew.

    ``side="out"`` is the published form: M lies in a layer's *outputs*. M^T W then never moves, and to
    first order neither does the loss on what was sketched; but old inputs' outputs do move, in all other
    directions. ``side="in"`` does the same with G^T: M spans inputs, weighted by how steep the loss
    was there, and an input within M keeps its output exactly.

    With SGD these are the published steps. With Adam, whose moments would live in Q's coordinates, this is
    another method: moments of the full gradient, and the update projected. Not built for training from
    scratch, where gradients late in a task fill M with noise.

    Args:
        side: ``in`` or ``out``.
        r1: directions in which a step moves.
        r2: rank of the sketch.
        every: K, steps between two decompositions.
        eps: share of the sketch's energy that is kept of a task.
        strict_count: count directions as the published code does: one fewer than needed to reach eps.
        head: as for `Subspaces`.
        hold_others: as for `Subspaces`.

    Raises:
        ConfigError: for another side or head, numbers below 1, or a share below 0.

    Source: Cheng et al., *Continuous subspace optimization for continual learning*, NeurIPS 2025;
        formula and constants from a note on the paper, not verified against the authors' code
    """

    def __init__(
        self,
        side: Side = "in",
        r1: int = 15,
        r2: int = 100,
        every: int = 1,
        eps: float = 0.98,
        strict_count: bool = False,
        head: HeadKind = "held",
        hold_others: bool = True,
    ):
        super().__init__(side, head, hold_others)
        if min(r1, r2, every) < 1:
            raise ConfigError(f"r1, r2 and every are at least 1, not {r1}, {r2} and {every}.")
        if not eps >= 0:
            raise ConfigError(f"eps is a share from 0 on, not {eps}.")
        self.r1, self.r2, self.every = r1, r2, every
        self.eps, self.strict_count = eps, strict_count
        self.sketches: Named = {}  # B by the name of the layer's weight
        self.frames: Named = {}  # Q
        self.steps = 0  # of this task

    def gradient(self, gradient: Named, step: Step) -> Named:
        """The part of the gradient in Q; every K steps a new Q, and the sketch takes it in."""
        edited = super().gradient(gradient, step)
        layers = dense_layers(step.learner, edited) if step.learner is not None else {}
        renewed = self.steps % self.every == 0
        self.steps += 1
        return {
            name: self._framed(name, g, renewed) if self._learns(name, layers) else g
            for name, g in edited.items()
        }

    def consolidate(self, learner: Learner, task: Task, past: Learner | None = None) -> None:
        """Keep the leading directions of the task's gradients."""
        for name, B in self.sketches.items():
            self.bases[name] = kept_of(self.bases.get(name), B, self.eps, self.strict_count)
        self.sketches, self.frames, self.steps = {}, {}, 0
        self.log_free(task.index)

    def _learns(self, name: str, layers: dict[str, Any]) -> bool:
        return name in layers and (name not in HEAD or self.head == "projected")

    def _framed(self, name: str, g: Tensor, renewed: bool) -> Tensor:
        flat = g.flatten(1)
        G = flat.T if self.side == "in" else flat
        if renewed or name not in self.frames:
            U, s, _ = torch.linalg.svd(G, full_matrices=False)
            least = s[:1] * torch.finfo(s.dtype).eps * max(G.shape)  # less is no direction
            U, s = U[:, : int((s > least).sum())], s[s > least]
            self.frames[name] = signed(U[:, : self.r1]).contiguous()
            B = self.sketches.get(name)
            self.sketches[name] = sketched(G[:, :0] if B is None else B, U, s, self.r2)
        Q = self.frames[name]
        part = Q @ (Q.T @ G)
        return (part.T if self.side == "in" else part).reshape(g.shape)

    def get_extra_state(self) -> dict[str, Any]:
        """The bases, and the sketches and frames of a task that is not over."""
        return super().get_extra_state() | {
            "sketches": dict(self.sketches), "frames": dict(self.frames), "steps": self.steps,
        }  # fmt: skip

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Take them over."""
        super().set_extra_state(state)
        self.sketches, self.frames = dict(state["sketches"]), dict(state["frames"])
        self.steps = state["steps"]
