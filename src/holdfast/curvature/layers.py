"""What a layer's input and the gradients of its outputs say of its weights, sample by sample."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from holdfast.curvature.layout import Layout
from holdfast.learner.heads import GrowingHead

if TYPE_CHECKING:
    from holdfast.curvature.backward import LayerGradients

Squares = dict[str, Tensor]  # of a layer's weights, by name
SquareRule = Callable[[nn.Module, Tensor, Tensor], Squares]


def input_columns(module: nn.Module, a: Tensor) -> Tensor:
    """What a layer's weights are multiplied by, the same for every output factor.

    Returns:
        (N, ..., i) of a linear layer, as it came; (N, ikk, T) patches of a convolution; the normalised
        input of a batch norm in eval mode.
    """
    if isinstance(module, nn.Conv2d):
        size, padding = tuple(module.weight.shape[2:]), module.padding
        assert isinstance(padding, tuple)
        return functional.unfold(a, size, module.dilation, padding, module.stride)
    if isinstance(module, nn.BatchNorm2d):
        assert module.running_mean is not None
        assert module.running_var is not None
        mean, scale = (t[:, None, None] for t in (module.running_mean, module.running_var))
        return (a - mean) * (scale + module.eps).rsqrt()
    return a


def linear(module: nn.Module, a: Tensor, g: Float[Tensor, "r n ..."]) -> Squares:
    """(o, i) and (o,): the square of an outer product is the outer product of squares."""
    if a.ndim > 2:  # the layer is applied at several places of a sample
        a, g = a.flatten(1, -2), g.flatten(2, -2)
        each = _outer(a.transpose(1, 2), g.transpose(2, 3))
        return {"weight": each.square_().sum(0), "bias": g.sum(2).square().sum((0, 1))}
    square = g.square().sum(0)
    return {"weight": square.T @ a.square(), "bias": square.sum(0)}


def convolution(module: nn.Module, patches: Tensor, g: Float[Tensor, "r n o h w"]) -> Squares:
    """(o, i, k, k) and (o,): a matrix product of patches and gradients, for each sample."""
    assert isinstance(module, nn.Conv2d)
    g = g.flatten(3)
    each = _outer(patches, g)
    return {
        "weight": each.square_().sum(0).view_as(module.weight),
        "bias": g.sum(3).square().sum((0, 1)),
    }


def _outer(a: Float[Tensor, "n i t"], g: Float[Tensor, "r n o t"]) -> Float[Tensor, "m o i"]:
    """(N R, o, i) sum_t g_o a_i of every sample and output factor, in one product a sample."""
    stacked = g.transpose(0, 1).flatten(1, 2)
    return (stacked @ a.transpose(1, 2)).view(-1, g.shape[2], a.shape[1])


def normalisation(module: nn.Module, unit: Tensor, g: Float[Tensor, "r n c h w"]) -> Squares:
    """(c,) twice, by running statistics."""
    return {
        "weight": (g * unit).sum((3, 4)).square().sum((0, 1)),
        "bias": g.sum((3, 4)).square().sum((0, 1)),
    }


def rule_of(module: nn.Module) -> SquareRule | None:
    """How a module's squares are made in eval mode; None for one that this file does not know."""
    if isinstance(module, nn.Linear) or type(module) is GrowingHead:  # other heads are not linear
        return linear
    if isinstance(module, nn.BatchNorm2d) and module.running_mean is not None:
        return normalisation
    plain = isinstance(module, nn.Conv2d) and module.groups == 1
    simple = plain and module.padding_mode == "zeros" and isinstance(module.padding, tuple)
    return convolution if simple else None


def known_layers(learner: nn.Module, layout: Layout) -> dict[str, nn.Module] | None:
    """The modules that hold the layout's weights; None if one of them is unknown here."""
    names = {name.rpartition(".")[0] for name in layout.shapes}
    modules = {name: module for name, module in learner.named_modules() if name in names}
    return modules if all(rule_of(module) is not None for module in modules.values()) else None


def squared(known: dict[str, nn.Module], batch: LayerGradients) -> Squares:
    """By weight, the squared gradients, summed over a batch's images and output factors."""
    pieces: dict[str, Tensor] = {}
    for name, module in known.items():
        rule = rule_of(module)
        assert rule is not None
        squares = rule(module, batch.inputs[name], batch.gradients[name])
        pieces |= {f"{name}.{weight}": value for weight, value in squares.items()}
    return pieces
