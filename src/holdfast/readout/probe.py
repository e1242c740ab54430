"""Linear probe: a softmax classifier on the frozen backbone's features, computed once."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from holdfast.learner.learner import outputs
from holdfast.readout.readout import Lesson, LinearReadout, Space


def balanced(y: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Shares of the rows that sum to 1 and give every class the same.

    >>> balanced(torch.tensor([0, 2, 2])).tolist()
    [0.5, 0.25, 0.25]
    """
    count = torch.bincount(y)
    return 1 / (count[y] * (count > 0).sum())


def fit_softmax(
    x: Float[Tensor, "n f"],
    y: Int[Tensor, " n"],
    classes: int,
    decay: float = 1e-3,
    steps: int = 100,
) -> tuple[Float[Tensor, "k f"], Float[Tensor, " k"]]:
    """Class-balanced softmax regression: every class weighs the same, however many rows it has.

    Minimises mean_k mean_{i in k} -log p_k(x_i) + decay/2 ||W||^2 by L-BFGS from zero, so the
    result does not depend on a seed. x should be standardised.
    """
    share = balanced(y).to(x.dtype)
    weight = x.new_zeros(classes, x.shape[1], requires_grad=True)
    bias = x.new_zeros(classes, requires_grad=True)
    search = torch.optim.LBFGS([weight, bias], max_iter=steps, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        search.zero_grad()
        log_p = functional.log_softmax(x @ weight.T + bias, 1)
        loss = -(share * log_p.gather(1, y[:, None])[:, 0]).sum()
        loss = loss + decay / 2 * weight.square().sum()
        loss.backward()
        return loss

    with torch.enable_grad():
        search.step(closure)
    return weight.detach(), bias.detach()


class LinearProbe(LinearReadout):
    """Class-balanced linear classifier on the current task's rows and the stored images (THEORY 9).

    Args:
        on: ``features``, ``hidden`` or ``embedding``.
        decay: weight decay on standardised features.
    """

    name = "probe"
    uses_images = True

    def __init__(self, on: Space = "features", decay: float = 1e-3):
        super().__init__(on)
        self.decay = decay

    def fit(self, lesson: Lesson) -> None:
        """Train anew on the task and the memory; a stored row of this task is not used twice."""
        task, stored = lesson.task, lesson.memory.rows
        x, y = self.see(lesson.out), task.train.y
        if stored is not None and len(old := stored[stored.task < task.index]):
            x = torch.cat([x, self.see(outputs(lesson.learner, old))])
            y = torch.cat([y, old.y])
        share = balanced(y)
        mean = share @ x
        std = (share @ (x - mean) ** 2).sqrt().clamp_min(1e-6)
        weight, bias = fit_softmax((x - mean) / std, y, lesson.classes, self.decay)
        self.solved = {"weight": weight / std, "bias": bias - weight @ (mean / std)}

    def get_extra_state(self) -> dict[str, Tensor]:
        """The classifier."""
        return self.solved

    def set_extra_state(self, state: dict[str, Tensor]) -> None:
        """Take over a classifier."""
        self.solved = state
