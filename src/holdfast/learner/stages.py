"""Stages: what the blocks of a backbone say of inputs, each pooled over places or cells of a grid."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from holdfast.core.errors import ConfigError
from holdfast.learner.network import Backbone

if TYPE_CHECKING:
    from holdfast.learner.learner import Learner


FINEST = 3  # cells a side: the square of what is read is stored
MEANS = 2048  # of all blocks' moments together, above which grids are coarser

Columns = dict[
    str, tuple[Tensor, ...]
]  # of each block, by a name of `holdfast.core.output.OF_STAGES`


def pooled(x: Float[Tensor, "n ..."]) -> Float[Tensor, "n f"]:
    """(N, f, H, W) to the mean over places, (N, places, f) to the mean over these; (N, f) stays.

    A copy where it stays: what comes after a block may change its output in place.

    >>> pooled(torch.arange(8.0).view(1, 2, 2, 2)).tolist()
    [[1.5, 5.5]]
    """
    if x.ndim == 2:
        return x.clone()
    return x.mean(1 if x.ndim == 3 else tuple(range(2, x.ndim)))


def side(channels: int, features: int) -> int:
    """Cells a side, such that a grid of a block's means is about as wide as the features; 3 at most.

    sqrt(f / c), rounded: an early block has few channels and many places, and is asked where things are.

    Args:
        channels: c of the block.
        features: f of the backbone.

    >>> [side(channels, 512) for channels in (64, 128, 256, 512)]  # the stages of a ResNet-18
    [3, 2, 1, 1]
    """
    return min(max(1, round((features / channels) ** 0.5)), FINEST)


def gridded(x: Float[Tensor, "n ..."], features: int) -> Float[Tensor, "n g"]:
    """(N, c, H, W) to the means over the cells of a grid of `side` x `side`, each channel's together.

    Cells of a map that does not divide overlap by a place. What is no map is `pooled`.

    Args:
        x: output of a block.
        features: f of the backbone.

    >>> gridded(torch.arange(16.0).view(1, 1, 4, 4), 4).tolist()
    [[2.5, 4.5, 10.5, 12.5]]
    """
    cells = side(x.shape[1], features)
    if x.ndim != 4 or cells == 1:
        return pooled(x)
    height, width = (min(cells, places) for places in x.shape[2:])
    return functional.adaptive_avg_pool2d(x, (height, width)).flatten(1)


def moments(x: Float[Tensor, "n ..."], features: int) -> Float[Tensor, "n m"]:
    """The means of `gridded`, then the deviations of the same cells.

    Of what is no map, those over its places; where a cell is one place, there are no deviations.

    Args:
        x: output of a block.
        features: f, by which a grid is chosen.

    >>> moments(torch.tensor([[[[1.0, 3.0], [1.0, 3.0]]]]), 1).tolist()
    [[2.0, 1.0]]
    """
    means, cells = gridded(x, features), side(x.shape[1], features) if x.ndim == 4 else 1
    axes = (1,) if x.ndim == 3 else tuple(range(2, x.ndim))
    if all(x.shape[axis] <= cells for axis in axes):
        return means
    away = x - x.mean(axes, keepdim=True)  # or much would cancel
    variance = gridded(away.square(), features) - gridded(away, features).square()
    return torch.cat([means, variance.clamp_min(0).sqrt()], 1)


def shown_of(
    backbone: Backbone, x: Float[Tensor, "n ..."], columns: Sequence[str], mirror: bool
) -> tuple[Float[Tensor, "n f"], Columns]:
    """Features, and columns of all stages; ``mirrored`` takes a second pass.

    Args:
        backbone: one with stages.
        x: inputs as it takes them.
        columns: names of `holdfast.core.output.OF_STAGES`.
        mirror: whether ``mirrored`` asks the mirror image too; else it is ``moments``.
    """
    if "mirrored" not in columns:
        return stages_of(backbone, x, columns)
    ahead = [name for name in columns if name != "mirrored"]
    features, shown = stages_of(backbone, x, [*ahead, "moments"])
    halves = shown["moments"]
    if mirror and x.ndim == 4:
        _, other = stages_of(backbone, x.flip(-1), ["moments"])
        halves = tuple((a + b) / 2 for a, b in zip(halves, other["moments"]))
    return features, {name: shown[name] for name in ahead} | {"mirrored": halves}


def stages_of(
    backbone: Backbone, x: Float[Tensor, "n ..."], columns: Sequence[str] = ("stages",)
) -> tuple[Float[Tensor, "n f"], Columns]:
    """Features, and of each of `Backbone.stage_modules` its output pooled in each way, of one forward pass.

    A block that is asked several times, of some of the rows each, gives all of them.

    Args:
        backbone: one with stages.
        x: inputs as it takes them.
        columns: ways: ``stages``, ``pyramid``, ``moments``.

    Raises:
        ConfigError: for a block that the pass does not go through.
    """
    modules, f = backbone.stage_modules(), backbone.features
    ways = {
        "stages": pooled,
        "pyramid": partial(gridded, features=f),
        "moments": partial(moments, features=min(f, MEANS // max(1, len(modules)))),
    }
    pieces: list[list[list[Tensor]]] = [[] for _ in modules]

    def note(place: int) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            first = output[0] if isinstance(output, (tuple, list)) else output
            pieces[place].append([ways[name](first) for name in columns])

        return hook

    hooks = [m.register_forward_hook(note(place)) for place, m in enumerate(modules)]
    try:
        features = backbone(x)
    finally:
        for hook in hooks:
            hook.remove()
    seen = [[torch.cat(some) for some in zip(*asked)] for asked in pieces if asked]
    rows = x.shape[0]  # not len(x): an export leaves it open
    if len(seen) < len(modules) or any(z.shape[0] != rows for some in seen for z in some):
        raise ConfigError(
            f"a stage of {type(backbone).__name__} does not say one thing of each input: name modules "
            "that its forward pass calls once."
        )
    return features, dict(zip(columns, zip(*seen)))


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
    before = learner.shown
    learner.show_stages()
    try:
        yield
    finally:
        learner.shown = before
