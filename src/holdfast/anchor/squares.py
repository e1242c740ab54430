"""Sums of squared gradients of every sample, layer by layer from one batched backward pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from holdfast.anchor.layout import Layout
from holdfast.anchor.persample import inputs_of
from holdfast.learner.learner import GrowingHead

if TYPE_CHECKING:
    from holdfast.learner.learner import Learner, Output

IMAGES = 16  # at a time: an early layer of a wide network unfolds to 40 MiB

Square = Callable[
    [nn.Module, Tensor, Tensor], dict[str, Tensor]
]  # module, input, output's gradient


def linear(module: nn.Module, a: Tensor, g: Tensor) -> dict[str, Tensor]:
    """(o, i) and (o,): the square of an outer product is the outer product of squares."""
    return {"weight": g.square().T @ a.square(), "bias": g.square().sum(0)}


def convolution(module: nn.Module, a: Tensor, g: Tensor) -> dict[str, Tensor]:
    """(o, i, k, k) and (o,): a matrix product of the patches and the slopes, for each sample."""
    assert isinstance(module, nn.Conv2d)
    size, g = module.weight.shape[2:], g.flatten(2)
    padding = module.padding if isinstance(module.padding, tuple) else (0, 0)
    patches = functional.unfold(a, tuple(size), module.dilation, padding, module.stride)
    each = g @ patches.transpose(1, 2)
    return {
        "weight": each.square_().sum(0).view_as(module.weight),
        "bias": g.sum(2).square().sum(0),
    }


def normalisation(module: nn.Module, a: Tensor, g: Tensor) -> dict[str, Tensor]:
    """(c,) twice, by running statistics."""
    assert isinstance(module, nn.BatchNorm2d)
    assert module.running_mean is not None
    assert module.running_var is not None
    mean, scale = (t[:, None, None] for t in (module.running_mean, module.running_var))
    unit = (a - mean) * (scale + module.eps).rsqrt()
    return {
        "weight": (g * unit).sum((2, 3)).square().sum(0),
        "bias": g.sum((2, 3)).square().sum(0),
    }


def rule_of(module: nn.Module) -> Square | None:
    """How a module's squares are made in eval mode; None for one that this file does not know."""
    if isinstance(module, (nn.Linear, GrowingHead)):
        return linear
    if isinstance(module, nn.BatchNorm2d) and module.running_mean is not None:
        return normalisation
    plain = isinstance(module, nn.Conv2d) and module.groups == 1
    return convolution if plain and module.padding_mode == "zeros" else None


def layers(learner: nn.Module, layout: Layout) -> dict[str, nn.Module] | None:
    """The modules that hold the layout's weights; None if one of them is unknown here."""
    names = {name.rpartition(".")[0] for name in layout.shapes}
    found = {name: module for name, module in learner.named_modules() if name in names}
    return found if all(rule_of(module) is not None for module in found.values()) else None


@torch.enable_grad()
def squares(
    learner: Learner,
    layout: Layout,
    read: Callable[[Output], Tensor],
    x: Tensor,
    roots: Float[Tensor, "n r k"],
) -> Float[Tensor, " p"] | None:
    """sum_i sum_r (d read(x_i).v_ir / dw)^2: as `persample` squared and summed, but in batches.

    One forward pass a batch and one backward pass a root. A layer's gradient for one sample is made
    from its input and the slope of its output; convolutions, linear layers and batch norm in eval
    mode are known, each used once in a pass; anything else is left to `persample`.

    Returns:
        (P,), or None for a network with layers that are not known: use `persample` there.

    Source: Dangel, Kunstner, Hennig, *BackPACK* (2020), second moment.
    """
    held = layers(learner, layout)
    if held is None:
        return None
    inputs: dict[str, Tensor] = {}
    outputs: dict[str, Tensor] = {}
    uses: list[str] = []

    def note(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], Tensor]:
        def hook(module: nn.Module, given: tuple[Tensor, ...], out: Tensor) -> Tensor:
            uses.append(name)
            inputs[name], outputs[name] = given[0].detach(), out
            return out.clone()  # a ReLU in place would change the noted one

        return hook

    hooks = [module.register_forward_hook(note(name)) for name, module in held.items()]
    total = torch.zeros(layout.size).to(roots)
    try:
        for piece, told in zip(x.split(IMAGES), roots.split(IMAGES), strict=True):
            uses.clear()
            said = read(learner(inputs_of(learner, piece)))
            if len(uses) != len(set(uses)):
                return None
            for v in told.unbind(1):
                total += _once(layout, held, inputs, outputs, (said * v).sum())
    finally:
        for hook in hooks:
            hook.remove()
    return total


def _once(
    layout: Layout,
    held: dict[str, nn.Module],
    inputs: dict[str, Tensor],
    outputs: dict[str, Tensor],
    scalar: Tensor,
) -> Tensor:
    """(P,) one root's squares, summed over the batch."""
    slopes = torch.autograd.grad(
        scalar, list(outputs.values()), retain_graph=True, allow_unused=True
    )
    pieces: dict[str, Tensor] = {}
    with torch.no_grad():
        for name, g in zip(outputs, slopes, strict=True):
            rule = rule_of(held[name])
            assert rule is not None
            g = torch.zeros_like(outputs[name]) if g is None else g
            made = rule(held[name], inputs[name], g)
            pieces |= {f"{name}.{weight}": value for weight, value in made.items()}
        return layout.flat(pieces)
