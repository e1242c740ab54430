"""Batches: how many images a frozen backbone takes at a time, and what it makes of them."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from holdfast.core.errors import ConfigError
from holdfast.learner.network import Backbone

MEMORY = 512 * 2**20  # bytes for pixels and activations
QUICK = 4 * 224**2  # pixels that a processor takes at a time: more leave its caches, and are slower
MOST = 256  # images at a time


def batch_size(learner: nn.Module, side: int, memory: int = MEMORY) -> int:
    """How many images of a side go through a backbone at a time.

    As many as fit into the memory by the largest layer of one image, at most 256; on a processor not
    more than its caches have use for.
    """
    most, network = MOST, frozen_of(learner)
    if _device(learner).type == "cpu":
        most = min(MOST, max(1, QUICK // side**2))
    sizes = [15 * 3 * side**2]  # pixels in bytes, as floats, normalised and turned

    def note(_: nn.Module, inputs: tuple[object, ...], output: object) -> None:
        tensors = [t for t in (*inputs, output) if isinstance(t, Tensor)]
        sizes.append(sum(2 * t.numel() * t.element_size() for t in tensors))

    leaves = [m for m in network.modules() if not list(m.children())]
    hooks = [module.register_forward_hook(note) for module in leaves]
    try:
        features_of(learner, torch.zeros(1, 3, side, side, dtype=torch.uint8))
    finally:
        for hook in hooks:
            hook.remove()
    return max(1, min(most, memory // (sizes[0] + max(sizes))))


@torch.no_grad()
def features_of(learner: nn.Module, pixels: Tensor) -> Float[Tensor, "n f"]:
    """uint8 images to features on the CPU."""
    x = pixels.to(_device(learner)).float().div_(255)
    network = frozen_of(learner)
    if not network.normalises:
        mean, std = (getattr(learner, name).view(-1, 1, 1) for name in ("mean", "std"))
        x = (x - mean) / std
    return network(x).float().cpu()


def _device(learner: nn.Module) -> torch.device:
    return next(learner.parameters()).device


def frozen_of(learner: nn.Module) -> Backbone:
    """A learner's backbone (ConfigError if it is trained)."""
    network = learner.backbone
    if not isinstance(network, Backbone) or not network.frozen:
        raise ConfigError("images are embedded by a frozen backbone: this one is trained.")
    return network
