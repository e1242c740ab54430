"""Backward passes of a whole batch: the gradients of every layer's outputs, several factors at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor, nn

from holdfast.curvature.fisher import OutputFactors
from holdfast.curvature.layers import input_columns
from holdfast.curvature.pairs import by_pairs
from holdfast.curvature.persample import inputs_of

if TYPE_CHECKING:
    from holdfast.core.output import Output
    from holdfast.learner.learner import Learner

IMAGES = 16  # at a time: an early layer of a wide network unfolds to 40 MiB
BYTES = 2**27  # of gradients at a time; the least is one output factor


class ReusedLayerError(Exception):
    """A layer is used more than once in a forward pass; its name is the argument."""


@dataclass(frozen=True)
class LayerGradients:
    """What some images and some of their output factors say of the layers.

    Attributes:
        first: whether these are the first output factors of the images.
        last: whether they are the last ones.
        factors: R of an image, over all passes.
        inputs: by layer, its `input_columns`; the same for all output factors of the images.
        gradients: by layer, (R, N, ...) the gradients of sum_i logits_i.v_ir by its outputs.
    """

    first: bool
    last: bool
    factors: int
    inputs: dict[str, Tensor]
    gradients: dict[str, Tensor]


@torch.enable_grad()
def output_gradients(
    learner: Learner,
    known: dict[str, nn.Module],
    read: Callable[[Output], Tensor],
    x: Tensor,
    factors: OutputFactors,
) -> Iterator[LayerGradients]:
    """One forward pass a batch; as many output factors in one backward pass as memory allows.

    Args:
        learner: in the mode it is in.
        known: the layers, by name.
        read: the logits, from the learner's output.
        x: (N, ...) samples at rest.
        factors: of these samples.

    Raises:
        ReusedLayerError: if a layer is used twice in a pass.
    """
    inputs: dict[str, Tensor] = {}
    outputs: dict[str, Tensor] = {}
    uses: list[str] = []

    def note(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], Tensor]:
        def hook(module: nn.Module, arguments: tuple[Tensor, ...], out: Tensor) -> Tensor:
            uses.append(name)
            inputs[name], outputs[name] = arguments[0].detach(), out
            return out.clone()  # a ReLU in place would change the noted one

        return hook

    hooks = [module.register_forward_hook(note(name)) for name, module in known.items()]
    try:
        for start in range(0, len(x), IMAGES):
            rows = slice(start, start + IMAGES)
            uses.clear()
            logits = read(learner(inputs_of(learner, x[rows])))
            if len(uses) != len(set(uses)):
                raise ReusedLayerError(max(uses, key=uses.count))
            with torch.no_grad():
                columns = {name: input_columns(known[name], inputs.pop(name)) for name in outputs}
            vectors = factors.at(rows).transpose(0, 1)
            count, chunk = len(vectors), _factors_at_once(known, outputs, len(vectors))
            for first in range(0, count, chunk):
                gradients = _pulled(logits, vectors[first : first + chunk], list(outputs.values()))
                pulled, last = dict(zip(outputs, gradients)), first + chunk >= count
                yield LayerGradients(first == 0, last, count, columns, pulled)
    finally:
        for hook in hooks:
            hook.remove()


def _factors_at_once(known: dict[str, nn.Module], outputs: dict[str, Tensor], factors: int) -> int:
    """How many output factors go through one backward pass, by the memory that they take.

    Each takes the gradients of all outputs, and the gradient by the weights of one layer for every
    image of the batch, unless that layer goes by pairs of positions.
    """
    weights = [0] + [
        sum(p.numel() for p in known[name].parameters()) * len(out)
        for name, out in outputs.items()
        if not by_pairs(known[name], out, factors)
    ]
    each = sum(o.numel() for o in outputs.values()) + max(weights)
    return max(1, BYTES // (each * next(iter(outputs.values())).element_size()))


def _pulled(
    logits: Float[Tensor, "n k"], vectors: Float[Tensor, "r n k"], outputs: Sequence[Tensor]
) -> list[Tensor]:
    """By output, (R, N, ...) the gradients of sum_i logits_i.v_ir; 0 where it has no say."""

    def pull(v: Tensor, batched: bool) -> list[Tensor]:
        pulled = torch.autograd.grad(
            logits, outputs, v, retain_graph=True, allow_unused=True, is_grads_batched=batched
        )
        lead = (len(v),) if batched else ()
        return [o.new_zeros(*lead, *o.shape) if g is None else g for g, o in zip(pulled, outputs)]

    if len(vectors) > 1:
        try:
            return pull(vectors, True)
        except RuntimeError:  # an operation that cannot be vectorised: one factor at a time
            pass
    each = [pull(v, False) for v in vectors]
    return [torch.stack(gradients) for gradients in zip(*each, strict=True)]
