"""OWM: each layer's moves shrink in the directions of the inputs that it had in old tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from holdfast.anchor.rule import Named
from holdfast.anchor.subspace import HEAD, HeadKind, Subspaces
from holdfast.anchor.subspace_inputs import dense_layers, mean_inputs
from holdfast.core.errors import ConfigError
from holdfast.core.ranks import current
from holdfast.core.step import Step
from holdfast.loss.checks import require_option

if TYPE_CHECKING:
    from holdfast.learner.learner import Learner
    from holdfast.stream.task import Task

During = Literal["task", "end"]


def shrunk(P: Float[Tensor, "i i"], R: Float[Tensor, "b i"], alpha: float) -> Float[Tensor, "i i"]:
    """(P^-1 + R^T R / alpha)^-1 = P - P R^T (alpha I + R P R^T)^-1 R P.

    That is what steps P - k k^T / (alpha + r k), k = P r^T, one for each row r of R, make of P.
    From P = I it is a soft projector: (I + R^T R / alpha)^-1, and as alpha -> 0 the one onto what is
    orthogonal to R.

    Args:
        P: symmetric, in double precision.
        R: one input a row.
        alpha: above 0.

    >>> shrunk(torch.eye(2).double(), torch.tensor([[1.0, 0.0]]).double(), 1.0).tolist()
    [[0.5, 0.0], [0.0, 1.0]]
    """
    K = P @ R.T
    inner = alpha * torch.eye(len(R)).to(P) + R @ K
    P = P - K @ torch.linalg.solve(inner, K.T)
    return (P + P.T) / 2


class _Cast(dict[str, Tensor]):
    """Projectors in the weights' precision: they follow from those in double precision."""

    derived = True


class OWM(Subspaces):
    """Orthogonal weight modification: dW <- dW P, P = (I + R^T R / alpha)^-1, R old batches' mean inputs.

    A soft projector a layer, over the mean input of each batch (all patches of a convolution); as
    alpha -> 0 it is GPM with all directions of the batch means. What varies within a batch is not
    protected. P is kept in double precision, and never begins anew.

    The update is projected, which under SGD without decay is what projecting the gradient does: P is no
    idempotent, and once is enough.

    Args:
        alpha: the softness, above 0.
        during: ``end``: P takes in a task when it has ended; ``task``: in every step too, before the
            step, as published, so that the task's own directions shrink as well. That takes a further
            forward pass a step, and one process.
        fall: factor on alpha over a task, alpha * fall^l after the share l of the epochs; published for
            ``task`` with 1e-5 for convolutions, 1e-4 to 0.1 for others, from alpha = 1.
        batch: rows of one mean input, for ``end``.
        head: as for `Subspaces`.
        hold_others: as for `Subspaces`.

    Raises:
        ConfigError: for a softness or fall that is not above 0, a batch below 1, or another ``during``.

    Source: Zeng et al., *Continual learning of context-dependent processing in neural networks*, Nature
        Machine Intelligence 2019; formula read in the authors' code, beijixiong3510/OWM, OWM_CNN/owm.py
    """

    def __init__(
        self,
        alpha: float = 1e-3,
        during: During = "end",
        fall: float = 1.0,
        batch: int = 64,
        head: HeadKind = "held",
        hold_others: bool = True,
    ):
        super().__init__(head, hold_others)
        require_option("time", during, get_args(During))
        if not (alpha > 0 and fall > 0):
            raise ConfigError(f"alpha and its fall must be above 0, not {alpha} and {fall}.")
        if batch < 1:
            raise ConfigError(f"a batch of owm has at least 1 row, not {batch}.")
        self.alpha, self.during, self.fall, self.batch = alpha, during, fall, batch
        self.projectors: Named = {}  # P by the name of the layer's weight
        self._cast = _Cast()

    @property
    def holds(self) -> bool:
        """Whether there is a projector."""
        return bool(self.projectors)

    def covers(self, name: str) -> bool:
        """Whether it has a projector."""
        return name in self.projectors

    def projected(self, name: str, t: Tensor) -> Tensor:
        """T P."""
        P = self._cast.get(name)
        if P is None:
            P = self._cast[name] = self.projectors[name].to(t)
        return (t.flatten(1) @ P).view(t.shape)

    def gradient(self, gradient: Named, step: Step) -> Named:
        """As it is; ``during="task"`` takes in the step's inputs, from which the moves will shrink."""
        self.moved.update(gradient)
        if self.during == "task" and step.learner is not None:
            if current() is not None:
                raise ConfigError(
                    "owm with during=task needs the inputs of all rows: use one device."
                )
            layers = self._layers(step.learner)
            share = step.epoch / max(step.epochs, 1)
            R = mean_inputs(step.learner, layers, step["batch"].rows.x)
            self._take({name: r[None] for name, r in R.items()}, self.alpha * self.fall**share)
        return gradient

    def consolidate(self, learner: Learner, task: Task, past: Learner | None = None) -> None:
        """Take in the means of the task's batches, in a random order."""
        if self.during == "task":
            return
        layers, x = self._layers(learner), task.train.x
        order = torch.randperm(len(x)).to(x.device).split(self.batch)
        means = [mean_inputs(learner, layers, x[rows]) for rows in order]
        self._take({name: torch.stack([m[name] for m in means]) for name in layers}, self.alpha)

    def _layers(self, learner: Learner) -> dict[str, Any]:
        names = self.moved if self.head == "projected" else self.moved.difference(HEAD)
        return dense_layers(learner, names)

    def _take(self, means: dict[str, Tensor], alpha: float) -> None:
        self._cast.clear()
        for name, R in means.items():
            P = self.projectors.get(name)
            P = torch.eye(R.shape[1]).to(R) if P is None else P
            self.projectors[name] = shrunk(P, R, alpha)

    def get_extra_state(self) -> dict[str, Any]:
        """The projectors, and which weights moved."""
        return {"projectors": dict(self.projectors), "moved": sorted(self.moved)}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Take them over."""
        self.projectors, self.moved = dict(state["projectors"]), set(state["moved"])
        self._cast.clear()
