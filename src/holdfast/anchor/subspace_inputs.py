"""What the layers of a network are given: the second moments and the means of their inputs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from holdfast.core.numerics import in_float64
from holdfast.core.ranks import added
from holdfast.curvature.layers import convolution, input_columns, linear, rule_of
from holdfast.curvature.persample import evaluating, inputs_of

if TYPE_CHECKING:
    from holdfast.learner.learner import Learner

IMAGES = 16  # at a time: an early layer of a wide network unfolds to 75 MiB in double precision


def dense_layers(learner: nn.Module, names: Collection[str] | None = None) -> dict[str, nn.Module]:
    """By the name of its weight, each linear layer and plain convolution (no groups, zero padding).

    Args:
        learner: the network.
        names: of weights, those that are asked for; None asks for all.
    """
    return {
        f"{name}.weight": module
        for name, module in learner.named_modules()
        if rule_of(module) in (linear, convolution) and (names is None or f"{name}.weight" in names)
    }


def columns_of(module: nn.Module, a: Tensor) -> Float[Tensor, "n i"]:
    """The inputs of a layer as rows, one for each place where its weight is applied.

    Args:
        module: linear, or a convolution: then they are its patches, cut like its flattened weight.
        a: what it is given.
    """
    columns = input_columns(module, a)
    if isinstance(module, nn.Conv2d):
        columns = columns.transpose(1, 2)
    return columns.flatten(0, -2)


@torch.no_grad()
def visit(
    learner: Learner,
    layers: Mapping[str, nn.Module],
    x: Shaped[Tensor, "n ..."],
    take: Callable[[str, Tensor], None],
) -> None:
    """Pass inputs through the network in eval mode, and hand over what each layer is given.

    A layer that is used several times in a pass is given all of that.

    Args:
        learner: the network; its mode is left as it was.
        layers: by a name.
        x: inputs as they rest.
        take: called with a name and (m, i) inputs in double precision.
    """

    def hook(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        return lambda module, inputs: take(name, columns_of(module, in_float64(inputs[0])))

    hooks = [module.register_forward_pre_hook(hook(name)) for name, module in layers.items()]
    try:
        with evaluating(learner):
            for piece in x.split(IMAGES):
                learner(inputs_of(learner, piece))
    finally:
        for each in hooks:
            each.remove()


def input_grams(
    learner: Learner, layers: Mapping[str, nn.Module], x: Shaped[Tensor, "n ..."]
) -> dict[str, Float[Tensor, "i i"]]:
    """By layer, A A^T of the matrix A whose columns are its inputs, in double precision.

    Processes that learn together share the inputs.

    Args:
        learner: the network.
        layers: by a name.
        x: inputs as they rest.
    """

    def work(rows: slice) -> dict[str, Tensor]:
        grams: dict[str, Tensor] = {}

        def take(name: str, a: Tensor) -> None:
            grams[name] = grams.get(name, 0) + a.T @ a

        visit(learner, layers, x[rows], take)
        return grams

    return added(len(x), work)


def mean_inputs(
    learner: Learner, layers: Mapping[str, nn.Module], x: Shaped[Tensor, "n ..."]
) -> dict[str, Float[Tensor, " i"]]:
    """By layer, the mean of its inputs over rows and places, in double precision.

    Args:
        learner: the network.
        layers: by a name.
        x: inputs as they rest, at least one.
    """
    sums: dict[str, Tensor] = {}
    counts: dict[str, int] = {}

    def take(name: str, a: Tensor) -> None:
        sums[name] = sums.get(name, 0) + a.sum(0)
        counts[name] = counts.get(name, 0) + len(a)

    visit(learner, layers, x, take)
    return {name: total / counts[name] for name, total in sums.items()}
