"""Output: what a network says of a batch, and how it is asked of many rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from holdfast.core.numerics import at_least_float32, to_float
from holdfast.core.ranks import joined
from holdfast.core.rows import Rows

OF_STAGES = ("stages", "pyramid", "moments", "mirrored")  # columns that are there only if asked for


class Output(NamedTuple):
    """What a learner says of N inputs.

    Attributes:
        features: (N, f) h(x).
        embedding: (N, d) z = g(h(x)) / ||g(h(x))||.
        logits: (N, K) of the head, one column a class seen so far.
        hidden: (N, f) of the projector's hidden layer, where the learner has one.
        stages: (N, f_l) of each block of the backbone, pooled over places, first to last; only where
            they were asked for (`holdfast.learner.stages`).
        pyramid: the same blocks, each pooled over the cells of a grid (`holdfast.learner.stages.side`).
        moments: means and deviations over the cells of such grids (`holdfast.learner.stages.moments`).
        mirrored: moments, averaged over an image and its mirror image.
    """

    features: Float[Tensor, "n f"]
    embedding: Float[Tensor, "n d"]
    logits: Float[Tensor, "n k"]
    hidden: Float[Tensor, "n h"] | None = None
    stages: tuple[Float[Tensor, "n _"], ...] | None = None
    pyramid: tuple[Float[Tensor, "n _"], ...] | None = None
    moments: tuple[Float[Tensor, "n _"], ...] | None = None
    mirrored: tuple[Float[Tensor, "n _"], ...] | None = None

    def rows(self, index: Int[Tensor, " m"] | Bool[Tensor, " n"]) -> Output:
        """The chosen rows of all columns."""
        return self.each(lambda column: column[index])

    def each(self, change: Callable[[Tensor], Tensor]) -> Output:
        """Every column that is there, changed.

        Args:
            change: of one column.
        """
        hidden = None if self.hidden is None else change(self.hidden)
        pieces = {name: getattr(self, name) for name in OF_STAGES}
        shown = {
            name: tuple(map(change, some)) for name, some in pieces.items() if some is not None
        }
        features, embedding, logits = map(change, self[:3])
        return Output(features, embedding, logits, hidden, **shown)


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
    return Output(*map(_stacked, zip(*pieces)))


def _stacked(columns: Sequence[Any]) -> Any:
    """One column of several outputs below each other, at least in float32; None stays None."""
    if columns[0] is None:
        return None
    if isinstance(columns[0], tuple):
        return tuple(map(_stacked, zip(*columns)))
    return torch.cat([at_least_float32(column) for column in columns])
