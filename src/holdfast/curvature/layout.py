"""Layout: which weights an anchor covers, and how they lie in one flat vector."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor, nn

from holdfast.core.errors import ConfigError
from holdfast.learner.effective import effective_weights


@dataclass(frozen=True)
class Layout:
    """Names and shapes of the covered weights, in the order of the learner's parameters.

    A head grows by rows: an anchor taken earlier covers the rows that were there then, so weights
    are cut to the anchor's own shapes before they are compared.

    Attributes:
        shapes: of each covered parameter, by name.

    >>> layout = Layout({"head.weight": (2, 3), "head.bias": (2,)})
    >>> layout.size, Layout({"head.weight": (3, 3), "head.bias": (3,)}).places(layout).tolist()
    (8, [0, 1, 2, 3, 4, 5, 9, 10])
    """

    shapes: Mapping[str, tuple[int, ...]]

    @property
    def size(self) -> int:
        """P, how many numbers it covers."""
        return sum(math.prod(shape) for shape in self.shapes.values())

    def flat(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """(P,) one vector from tensors by name, each cut to the rows covered.

        Raises:
            ConfigError: if a tensor is missing or has another shape.
        """
        for name, shape in self.shapes.items():
            shape_now = tuple(tensors[name].shape) if name in tensors else None
            if shape_now != shape and not _grown(name, shape, shape_now):
                raise ConfigError(
                    f"the anchor holds {name} of shape {shape}, but the network has "
                    f"{'none' if shape_now is None else shape_now}: use it with the network it was "
                    "taken from."
                )
        return torch.cat([tensors[n][: s[0]].flatten() for n, s in self.shapes.items()])

    def split(self, flat: Tensor) -> dict[str, Tensor]:
        """The pieces of a flat vector, by name."""
        sizes = [math.prod(shape) for shape in self.shapes.values()]
        return {n: f.view(s) for (n, s), f in zip(self.shapes.items(), flat.split(sizes))}

    def places(self, older: Layout) -> Int[Tensor, " p"]:
        """Where each number of an older, smaller layout stands in this one."""
        here = self.split(torch.arange(self.size))
        return older.flat(here)


def _grown(name: str, shape: tuple[int, ...], shape_now: tuple[int, ...] | None) -> bool:
    """Whether a head of ``shape`` may have grown into one of the shape found."""
    if shape_now is None or not name.startswith("head."):
        return False
    return shape_now[1:] == shape[1:] and shape_now[0] >= shape[0]


def layout_of(learner: nn.Module, parts: Sequence[str], norm: bool = True) -> Layout:
    """The trainable weights of a learner's parts, parametrised ones as they are in effect.

    Args:
        learner: the network.
        parts: of it: ``backbone``, ``projector``, ``head``.
        norm: whether scale and shift of batch norm are covered. Running statistics never are:
            they are no weights.

    Raises:
        ConfigError: if none of the weights is trainable, or two layers share one.
    """
    every = [name for name, _ in learner.named_parameters(remove_duplicate=False)]
    shared = set(every) - {name for name, _ in learner.named_parameters()}
    if shared:
        raise ConfigError(
            f"the weight {min(shared)} is shared by two layers, which gradients of single images do "
            "not support: use a network in which every layer has its own."
        )
    kinds = (nn.modules.batchnorm._BatchNorm, nn.GroupNorm, nn.LayerNorm)
    norms = [name for name, module in learner.named_modules() if isinstance(module, kinds)]
    shapes = {
        name: tuple(p.shape)
        for name, p in effective_weights(learner).items()
        if p.requires_grad and p.numel() and name.split(".")[0] in parts
        if norm or name.rpartition(".")[0] not in norms
    }
    if not shapes:
        raise ConfigError(
            f"no weight of {' or '.join(parts)} is trainable, so there is nothing to anchor: "
            "unfreeze the network or leave the anchor out."
        )
    return Layout(shapes)
