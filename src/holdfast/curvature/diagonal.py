"""The diagonal of a curvature, from batched backward passes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor, nn

from holdfast.core.ranks import added
from holdfast.curvature.backward import LayerGradients, ReusedLayerError, output_gradients
from holdfast.curvature.fisher import OutputFactors
from holdfast.curvature.layers import known_layers, squared
from holdfast.curvature.layout import Layout
from holdfast.curvature.pairs import PairSums, by_pairs

if TYPE_CHECKING:
    from holdfast.core.output import Output
    from holdfast.learner.learner import Learner


def squared_gradients(
    learner: Learner,
    layout: Layout,
    read: Callable[[Output], Tensor],
    x: Tensor,
    factors: OutputFactors,
) -> Float[Tensor, " p"] | None:
    """(P,) sum_i sum_r (d read(x_i).v_ir / dw)^2: as `persample` squared and summed, but in batches.

    A layer's gradient for one sample is made from its input and the gradient of its output;
    convolutions, linear layers and batch norm in eval mode are known, each used once in a pass;
    anything else is left to `persample`.

    Returns:
        None for a network with layers that are not known: use `persample` there.

    Source: Dangel, Kunstner, Hennig, *BackPACK* (2020), second moment.
    """
    known = known_layers(learner, layout)
    if known is None:
        return None

    def work(rows: slice) -> Tensor:
        sums: dict[str, PairSums] = {}
        total = {name: torch.zeros(shape).to(factors.p) for name, shape in layout.shapes.items()}
        for batch in output_gradients(learner, known, read, x[rows], factors.some(rows)):
            with torch.no_grad():
                for name, value in _squares(known, batch, sums).items():
                    if name in total:
                        total[name] += value[: len(total[name])]
        return layout.flat(total)

    try:
        return added(len(x), work)
    except ReusedLayerError:
        return None


def _squares(
    known: dict[str, nn.Module], batch: LayerGradients, sums: dict[str, PairSums]
) -> dict[str, Tensor]:
    """By weight, the squares of a batch; layers that go by pairs give theirs with the last factors."""
    each: dict[str, nn.Module] = {}
    pieces: dict[str, Tensor] = {}
    for name, module in known.items():
        g = batch.gradients[name]
        if not by_pairs(module, g[0], batch.factors):
            each[name] = module
            continue
        pairs = sums.setdefault(name, PairSums(module))
        pairs.add(g)
        if batch.last:
            squares = sums.pop(name).squares(batch.inputs[name])
            pieces |= {f"{name}.{weight}": value for weight, value in squares.items()}
    return pieces | squared(each, batch)
