"""Too few: a task with hardly any distinct input moves no weight; what it says goes into statistics."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from holdfast.core.numerics import to_float
from holdfast.core.output import outputs
from holdfast.learner.heads import GrassmannHead
from holdfast.stream.task import Task
from holdfast.train.progress import classes_with

if TYPE_CHECKING:
    from holdfast.train.continual import Continual

LOG = logging.getLogger("holdfast.train.few")
LEAST = 16  # distinct inputs from which on a network is trained further
SAMPLE = 256  # inputs that are looked at first
APART = 0.05  # of the spread of all numbers: inputs that differ less, root mean square, are as one


def distinct(x: Shaped[Tensor, "n ..."], scale: Float[Tensor, " c"], most: int = LEAST) -> int:
    """How many inputs are apart from each other, counted up to ``most``.

    The first input counts; then the one farthest from all that count, while its root mean squared
    difference to the nearest of them is more than `APART` of the scale.

    Args:
        x: (N, C, H, W) pixels or (N, D) features.
        scale: (C,) or (D,) spread of the inputs that the learner was made with.
        most: where to stop.

    >>> distinct(torch.tensor([[0.0], [0.0], [0.01], [1.0]]), torch.ones(1))
    2
    """
    per_channel = scale.view(1, -1, *(1,) * (x.ndim - 2))
    nearest: Tensor | None = None
    count, place = 0, 0
    while count < most:
        count += 1
        gaps = torch.cat(
            [
                ((p - to_float(x[place])) / per_channel).flatten(1).square().mean(1)
                for p in _pieces(x)
            ]
        )
        nearest = gaps if nearest is None else torch.minimum(nearest, gaps)
        place = int(nearest.argmax())
        if not nearest[place] > APART**2:
            break
    return count


def _pieces(x: Tensor) -> list[Tensor]:
    """Inputs as floats, a part at a time, so that few of them are in memory as such."""
    return [to_float(piece) for piece in x.split(1024)]


def too_few(core: Continual, x: Shaped[Tensor, "n ..."]) -> int:
    """The number of distinct inputs of a task where they are too few to train on, else 0.

    A first task is trained on whatever it has, and a method that trains nothing asks nothing.
    """
    if (
        core.progress.untaught
        or not core.method.trains(core.progress.task)
        or (x.is_floating_point() and core.learner.embedded(x))
    ):
        return 0
    x, scale = x.cpu(), core.learner.std.cpu()
    sample = x[torch.linspace(0, len(x) - 1, min(SAMPLE, len(x))).long()]
    count = distinct(sample, scale)
    if count < LEAST and len(sample) < len(x):
        count = distinct(x, scale)
    return count if count < LEAST else 0


def leave_weights(core: Continual, task: Task) -> None:
    """Say that a task moves no weight; the head alone, if it decides, is given its new classes."""
    LOG.warning(
        "task %d has %d distinct input%s, fewer than %d: the network stays as it is, and statistics "
        "alone learn them",
        task.index + 1, task.few, "s" * (task.few != 1), LEAST,
    )  # fmt: skip
    head, old = core.learner.head, list(core.progress.seen)
    fresh = [c for c in classes_with(core.progress.seen, task) if c not in old]
    if not fresh or not old or len(head.bias) <= max(fresh):
        return
    features = outputs(core.learner, task.train).features.to(head.weight.dtype)
    y = task.train.y.to(features.device)
    with torch.no_grad():
        for c in fresh:
            if isinstance(head, GrassmannHead):
                head.weight[c] = head.plane(features[y == c], head.weight[c])
                continue
            head.weight[c], head.bias[c] = imprint(
                features[y == c], head.weight[old], head.bias[old]
            )


def imprint(
    x: Float[Tensor, "n f"], weight: Float[Tensor, "k f"], bias: Float[Tensor, " k"]
) -> tuple[Float[Tensor, " f"], Float[Tensor, ""]]:
    """The row of a linear head for a new class of few inputs, that takes as little as it can from the old.

    w is the direction of the inputs' mean, max(1/2, 1/n) times as long as the rows of the old classes
    are in the mean. b is the smallest with which half of the inputs have no larger old logit.

    Args:
        x: (n, f) features of the class.
        weight: (K, f) rows of the old classes.
        bias: (K,) theirs.

    Source: Qi, Brown and Lowe, *Low-shot learning with imprinted weights*, 2018, for the direction

    >>> w, b = imprint(torch.tensor([[0.0, 4.0]]), torch.tensor([[3.0, 0.0], [0.0, 1.0]]), torch.zeros(2))
    >>> w.tolist(), float(b)
    ([0.0, 2.0], -4.0)
    """
    mean = x.mean(0)
    length = weight.norm(dim=1).mean() * max(0.5, 1 / len(x))
    row = length * mean / mean.norm().clamp_min(torch.finfo(mean.dtype).tiny)
    gap = (x @ weight.T + bias).amax(1) - x @ row
    return row, gap.quantile(0.5)
