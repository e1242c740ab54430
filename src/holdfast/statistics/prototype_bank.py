"""Prototypes that follow the data: a running mean, or the class means of each task's end (section 13)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from holdfast.core.errors import ConfigError, unknown
from holdfast.core.numerics import at_least_float32
from holdfast.core.output import outputs
from holdfast.learner.prototype import Frame
from holdfast.statistics.drift import fit_drift

if TYPE_CHECKING:
    from holdfast.learner.learner import Learner
    from holdfast.stream.task import Task

Prototypes = Literal["fixed", "running", "mean"]


class PrototypeBank(Frame):
    """A frame whose vectors the data move; a class that was not met yet has its vertex of the simplex.

    ``running``: q_c <- normalise(mu q_c + (1 - mu) m_c), m_c the mean embedding of class c in the batch,
    without gradient; where class c is met first, q_c is m_c at length 1. ``mean``: as long as a task is
    learned its classes have their vertices, and when it ends their mean embeddings at length 1.

    Classes of earlier tasks stay where they were when their task ended, or are moved by the drift map
    that is fitted to the current task's embeddings (`fit_drift`). What is stored is a vector a class.

    Args:
        kind: ``running`` or ``mean``.
        dim: d, width of the embedding.
        classes: of the simplex under it, as of `Frame`.
        seed: of its rotation.
        momentum: mu of ``running``, from 0 to 1; 1 never moves a class once it was met.
        follow: whether old prototypes are moved by the drift map when a task ends.

    Raises:
        ConfigError: for another kind, or a momentum outside its range.

    Source: docs/theory.md, section 13; a standard form, not the source's
    """

    moves = True
    moved: Tensor
    met: Tensor

    def __init__(
        self,
        kind: str = "running",
        dim: int = 128,
        classes: int = 0,
        seed: int = 0,
        momentum: float = 0.99,
        follow: bool = False,
    ):
        nn.Module.__init__(self)
        if kind not in ("running", "mean"):
            raise unknown("kind of moving prototypes", kind, ("running", "mean"))
        if not 0 <= momentum <= 1:
            raise ConfigError(f"the momentum of prototypes goes from 0 to 1, not {momentum}.")
        self.base = Frame(dim, classes, seed)
        self.kind, self.dim, self.classes, self.seed = kind, dim, classes, seed
        self.momentum, self.follow = momentum, follow
        self.register_buffer("moved", torch.zeros(0, dim), persistent=False)
        self.register_buffer("met", torch.zeros(0, dtype=torch.bool), persistent=False)

    def _keep(self, moved: Float[Tensor, "k d"], met: Tensor) -> None:
        self.moved, self.met = moved, met

    @property
    def vectors(self) -> Float[Tensor, "k d"]:  # type: ignore[override]
        """(K, d) every class's present prototype."""
        fixed = self.base.vectors
        known = torch.where(self.met[:, None], self.moved, fixed[: len(self.met)].to(self.moved))
        return torch.cat([known, fixed[len(self.met) :].to(known)])

    def extend(self, classes: int) -> None:
        """Room for so many classes, of which the new ones have not been met."""
        self.base.extend(classes)
        missing = classes - len(self.met)
        if missing > 0:
            rows, no = self.moved.new_zeros(missing, self.dim), self.met.new_zeros(missing)
            self._keep(torch.cat([self.moved, rows]), torch.cat([self.met, no]))

    @torch.no_grad()
    def observe(self, z: Float[Tensor, "n d"], y: Int[Tensor, " n"]) -> None:
        """Take a batch's rows in, if it is a running mean.

        Args:
            z: (N, d) embeddings of rows of the current task.
            y: (N,) their classes, for which `extend` has made room.
        """
        if self.kind == "running":
            self._take(z, y, self.momentum)

    def _take(self, z: Tensor, y: Tensor, momentum: float) -> None:
        """Move the classes that are there; the others keep their bits."""
        rows = at_least_float32(z.detach()).to(self.moved)
        count = torch.zeros(len(self.met), device=rows.device).index_add_(
            0, y, torch.ones(len(y), device=rows.device)
        )
        mean = torch.zeros_like(self.moved).index_add_(0, y, rows) / count.clamp_min(1)[:, None]
        there = count > 0
        mixed = torch.where(self.met[:, None], momentum * self.moved + (1 - momentum) * mean, mean)
        # a new tensor: the loss of this step still needs the old one for its slope
        moved = torch.where(there[:, None], functional.normalize(mixed, dim=1), self.moved)
        self._keep(moved, self.met | there)

    @torch.no_grad()
    def settle(self, learner: Learner, task: Task, past: Learner | None = None) -> None:
        """End a task: its class means, and the way of the older prototypes, if they follow."""
        if self.kind != "mean" and not self.follow:
            return
        now = outputs(learner, task.train).embedding
        if self.follow and past is not None:
            drift = fit_drift(outputs(past, task.train).embedding.to(now), now)
            old = self.met.clone()
            old[list(task.classes)] = False
            away = functional.normalize(drift(self.moved.to(now)), dim=1).to(self.moved)
            self._keep(torch.where(old[:, None], away, self.moved), self.met)
        if self.kind == "mean":
            self._take(now, task.train.y, 0.0)

    def get_extra_state(self) -> dict[str, Tensor]:
        """The vectors that moved, and whose they are."""
        return {"moved": self.moved, "met": self.met}

    def set_extra_state(self, state: dict[str, Tensor]) -> None:
        """Take over both."""
        self._keep(state["moved"].to(self.moved), state["met"].to(self.met))


def build_frame(
    prototypes: str = "fixed",
    dim: int = 128,
    classes: int = 0,
    seed: int = 0,
    momentum: float = 0.99,
    follow: bool = False,
) -> Frame:
    """A fixed frame, or one whose vectors the data move; arguments as of `PrototypeBank`.

    Raises:
        ConfigError: for an unknown kind, or fixed prototypes that should follow the drift.
    """
    if prototypes not in get_args(Prototypes):
        raise unknown("kind of prototypes", prototypes, get_args(Prototypes))
    if prototypes != "fixed":
        return PrototypeBank(prototypes, dim, classes, seed, momentum, follow)
    if follow:
        raise ConfigError(
            "fixed prototypes do not follow the drift: use prototypes=running or prototypes=mean."
        )
    return Frame(dim, classes, seed)
