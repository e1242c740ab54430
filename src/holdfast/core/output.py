"""Output: what a network says of a batch, and how it is asked of many rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from holdfast.core.numerics import at_least_float32, to_float
from holdfast.core.ranks import joined
from holdfast.core.rows import Rows


class Output(NamedTuple):
    """What a learner says of N inputs.

    Attributes:
        features: (N, f) h(x).
        embedding: (N, d) z = g(h(x)) / ||g(h(x))||.
        logits: (N, K) of the head, one column a class seen so far.
        hidden: (N, f) of the projector's hidden layer, where the learner has one.
    """

    features: Float[Tensor, "n f"]
    embedding: Float[Tensor, "n d"]
    logits: Float[Tensor, "n k"]
    hidden: Float[Tensor, "n h"] | None = None

    def rows(self, index: Int[Tensor, " m"] | Bool[Tensor, " n"]) -> Output:
        """The chosen rows of all columns."""
        hidden = None if self.hidden is None else self.hidden[index]
        return Output(*(column[index] for column in self[:3]), hidden=hidden)


@torch.no_grad()
def outputs(learner: nn.Module, rows: Rows, batch: int = 1024) -> Output:
    """What the learner says of rows as they rest: in eval mode, without views, batch by batch.

    Processes that learn together share the rows.
    """
    mode = learner.training
    learner.eval()
    result = joined(len(rows), lambda some: forward_batches(learner, rows[some], batch))
    learner.train(mode)
    return result


@torch.no_grad()
def forward_batches(forward: Callable[[Tensor], Output], rows: Rows, batch: int = 1024) -> Output:
    """What a network says of rows as they rest, in the mode it is in, batch by batch."""
    pieces = [forward(to_float(piece.x)) for piece in rows.batches(batch)]
    columns = (
        torch.cat([at_least_float32(p) for p in column]) for column in zip(*(o[:3] for o in pieces))
    )
    hidden = [at_least_float32(o.hidden) for o in pieces if o.hidden is not None]
    return Output(*columns, hidden=torch.cat(hidden) if hidden else None)
