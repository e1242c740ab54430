"""Stages: what the blocks of a backbone say of inputs, each pooled over places."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from holdfast.core.errors import ConfigError
from holdfast.learner.network import Backbone

if TYPE_CHECKING:
    from holdfast.learner.learner import Learner


def pooled(x: Float[Tensor, "n ..."]) -> Float[Tensor, "n f"]:
    """(N, f, H, W) to the mean over places, (N, places, f) to the mean over these; (N, f) stays.

    A copy where it stays: what comes after a block may change its output in place.

    >>> pooled(torch.arange(8.0).view(1, 2, 2, 2)).tolist()
    [[1.5, 5.5]]
    """
    if x.ndim == 2:
        return x.clone()
    return x.mean(1 if x.ndim == 3 else tuple(range(2, x.ndim)))


def stages_of(
    backbone: Backbone, x: Float[Tensor, "n ..."]
) -> tuple[Float[Tensor, "n f"], tuple[Tensor, ...]]:
    """Features, and the pooled output of each of `Backbone.stage_modules`, of one forward pass.

    A block that is asked several times, of some of the rows each, gives all of them.

    Args:
        backbone: one with stages.
        x: inputs as it takes them.

    Raises:
        ConfigError: for a block that the pass does not go through.
    """
    modules = backbone.stage_modules()
    seen: list[list[Tensor]] = [[] for _ in modules]

    def note(place: int) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            seen[place].append(pooled(output[0] if isinstance(output, (tuple, list)) else output))

        return hook

    hooks = [m.register_forward_hook(note(place)) for place, m in enumerate(modules)]
    try:
        features = backbone(x)
    finally:
        for hook in hooks:
            hook.remove()
    stages = tuple(
        pieces[0] if len(pieces) == 1 else torch.cat(pieces) for pieces in seen if pieces
    )
    if len(stages) < len(modules) or any(stage.shape[0] != x.shape[0] for stage in stages):
        raise ConfigError(
            f"a stage of {type(backbone).__name__} does not say one thing of each input: name modules "
            "that its forward pass calls once."
        )
    return features, stages


def require_stages(backbone: Backbone) -> None:
    """Stop where a backbone has no stages (ConfigError).

    Args:
        backbone: that is asked.
    """
    if not backbone.stage_modules():
        name = type(getattr(backbone, "network", backbone)).__name__
        raise ConfigError(
            f"the backbone {name} has no stages, and a term asks for them: give the network an attribute "
            "`stages` with its blocks in their order, or use convnet, resnet18 or mlp."
        )


@contextmanager
def showing_stages(learner: Learner) -> Iterator[None]:
    """Inside, a learner's outputs have stages; afterwards as before.

    Args:
        learner: with a backbone that has them (ConfigError).
    """
    before = learner.staged
    learner.show_stages()
    try:
        yield
    finally:
        learner.staged = before
