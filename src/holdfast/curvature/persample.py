"""Gradients of every sample by itself, vectorised: never the square of a batch's mean."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.func import grad, vmap

from holdfast.core.numerics import to_float
from holdfast.core.ranks import joined
from holdfast.curvature.layout import Layout
from holdfast.learner.effective import call_effective, effective_weights

if TYPE_CHECKING:
    from holdfast.core.output import Output
    from holdfast.learner.learner import Learner

BYTES = 2**28  # of gradients at a time; the least chunk is one image
MOST = 256  # images at a time, however small the network


@contextmanager
def evaluating(learner: Learner) -> Iterator[None]:
    """Run inside with the learner in eval mode, where batch norm leaves samples independent."""
    mode = learner.training
    learner.eval()
    try:
        yield
    finally:
        learner.train(mode)


def weights_of(learner: Learner) -> dict[str, Tensor]:
    """The effective weights by name, without gradient."""
    return {name: p.detach() for name, p in effective_weights(learner).items()}


def inputs_of(learner: Learner, x: Tensor) -> Tensor:
    """Samples at rest as the learner takes them, at least in its precision."""
    x = to_float(x)
    return x.to(torch.promote_types(x.dtype, next(learner.parameters()).dtype))


@torch.no_grad()
def predict(learner: Learner, x: Tensor, read: Callable[[Output], Tensor]) -> Float[Tensor, "n k"]:
    """What is read of the learner's outputs, batch by batch, in the mode it is in."""
    one = lambda some: torch.cat([read(learner(inputs_of(learner, p))) for p in some.split(1024)])
    return joined(len(x), lambda rows: (one(x[rows]),))[0]


@torch.no_grad()
def persample(
    learner: Learner,
    layout: Layout,
    score: Callable[[Output, Tensor], Tensor],
    x: Tensor,
    image: Int[Tensor, " m"],
    column: Float[Tensor, "m k"],
    chunk: int = 0,
) -> Iterator[dict[str, Tensor]]:
    """The gradient of score(output of x[image_j], column_j) for every j, chunk by chunk.

    Args:
        learner: in the mode it is in; use `evaluating` around it.
        layout: the weights to differentiate by.
        score: of the outputs of one sample, as a batch of one, to a scalar.
        x: (N, ...) samples at rest.
        image: (M,) which sample.
        column: (M, K) the score's second argument.
        chunk: how many at a time; 0 chooses by the memory their gradients take.

    Yields:
        by name, (B, ...) one gradient a row.
    """
    others = weights_of(learner)
    weights = {name: others.pop(name) for name in layout.shapes}
    size = sum(w.numel() * w.element_size() for w in weights.values())
    chunk = chunk or min(MOST, max(1, BYTES // size))

    def one(weights: dict[str, Tensor], x: Tensor, column: Tensor) -> Tensor:
        return score(call_effective(learner, others | weights, (x[None],)), column)

    every = vmap(grad(one), in_dims=(None, 0, 0))
    for at, columns in zip(image.split(chunk), column.split(chunk), strict=True):
        yield every(weights, inputs_of(learner, x[at]), columns)
