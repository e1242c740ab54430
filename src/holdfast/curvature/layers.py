"""Layer by layer from one batched backward pass: squared gradients of every sample, Kronecker factors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from holdfast.curvature.layout import Layout
from holdfast.curvature.persample import inputs_of
from holdfast.learner.learner import GrowingHead

if TYPE_CHECKING:
    from holdfast.learner.learner import Learner, Output

IMAGES = 16  # at a time: an early layer of a wide network unfolds to 40 MiB

Squares = dict[str, Tensor]  # of a layer's weights, by name


def columns(module: nn.Module, a: Tensor) -> Tensor:
    """What a layer's weights are multiplied by, the same for every root: made once a batch.

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


def linear(module: nn.Module, a: Tensor, g: Tensor) -> Squares:
    """(o, i) and (o,): the square of an outer product is the outer product of squares."""
    if a.ndim > 2:  # the layer is applied at several places of a sample
        a, g = a.flatten(1, -2), g.flatten(1, -2)
        each = g.transpose(1, 2) @ a
        return {"weight": each.square_().sum(0), "bias": g.sum(1).square().sum(0)}
    return {"weight": g.square().T @ a.square(), "bias": g.square().sum(0)}


def convolution(module: nn.Module, patches: Tensor, g: Tensor) -> Squares:
    """(o, i, k, k) and (o,): a matrix product of the patches and the slopes, for each sample."""
    assert isinstance(module, nn.Conv2d)
    g = g.flatten(2)
    each = g @ patches.transpose(1, 2)
    return {
        "weight": each.square_().sum(0).view_as(module.weight),
        "bias": g.sum(2).square().sum(0),
    }


def normalisation(module: nn.Module, unit: Tensor, g: Tensor) -> Squares:
    """(c,) twice, by running statistics."""
    return {
        "weight": (g * unit).sum((2, 3)).square().sum(0),
        "bias": g.sum((2, 3)).square().sum(0),
    }


def rule_of(module: nn.Module) -> Callable[[nn.Module, Tensor, Tensor], Squares] | None:
    """How a module's squares are made in eval mode; None for one that this file does not know."""
    if isinstance(module, (nn.Linear, GrowingHead)):
        return linear
    if isinstance(module, nn.BatchNorm2d) and module.running_mean is not None:
        return normalisation
    plain = isinstance(module, nn.Conv2d) and module.groups == 1
    simple = plain and module.padding_mode == "zeros" and isinstance(module.padding, tuple)
    return convolution if simple else None


def layers(learner: nn.Module, layout: Layout) -> dict[str, nn.Module] | None:
    """The modules that hold the layout's weights; None if one of them is unknown here."""
    names = {name.rpartition(".")[0] for name in layout.shapes}
    found = {name: module for name, module in learner.named_modules() if name in names}
    return found if all(rule_of(module) is not None for module in found.values()) else None


@torch.enable_grad()
def slopes(
    learner: Learner,
    held: dict[str, nn.Module],
    read: Callable[[Output], Tensor],
    x: Tensor,
    roots: Float[Tensor, "n r k"],
) -> Iterator[tuple[int, dict[str, Tensor], dict[str, Tensor]]]:
    """For every batch and root r: by layer, its `columns`, and the slopes of sum_i read(x_i).v_ir.

    One forward pass a batch and one backward pass a root.

    Raises:
        ReusedLayerError: if a layer is used twice in a pass.
    """
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
    try:
        for piece, told in zip(x.split(IMAGES), roots.split(IMAGES), strict=True):
            uses.clear()
            said = read(learner(inputs_of(learner, piece)))
            if len(uses) != len(set(uses)):
                raise ReusedLayerError(max(uses, key=uses.count))
            with torch.no_grad():
                met = {name: columns(held[name], inputs.pop(name)) for name in outputs}
            for r, v in enumerate(told.unbind(1)):
                found = torch.autograd.grad(
                    (said * v).sum(), list(outputs.values()), retain_graph=True, allow_unused=True
                )
                made = zip(outputs.items(), found, strict=True)
                yield r, met, {n: torch.zeros_like(o) if g is None else g for (n, o), g in made}
    finally:
        for hook in hooks:
            hook.remove()


class ReusedLayerError(Exception):
    """A layer is used more than once in a forward pass; its name is the argument."""


def squares(
    learner: Learner,
    layout: Layout,
    read: Callable[[Output], Tensor],
    x: Tensor,
    roots: Float[Tensor, "n r k"],
) -> Float[Tensor, " p"] | None:
    """sum_i sum_r (d read(x_i).v_ir / dw)^2: as `persample` squared and summed, but in batches.

    A layer's gradient for one sample is made from its input and the slope of its output;
    convolutions, linear layers and batch norm in eval mode are known, each used once in a pass;
    anything else is left to `persample`.

    Returns:
        (P,), or None for a network with layers that are not known: use `persample` there.

    Source: Dangel, Kunstner, Hennig, *BackPACK* (2020), second moment.
    """
    held = layers(learner, layout)
    if held is None:
        return None
    total = torch.zeros(layout.size).to(roots)
    try:
        for _, met, found in slopes(learner, held, read, x, roots):
            with torch.no_grad():
                total += layout.flat(squared(held, met, found))
    except ReusedLayerError:
        return None
    return total


def squared(
    held: dict[str, nn.Module], met: dict[str, Tensor], found: dict[str, Tensor]
) -> Squares:
    """By weight, one root's squares, summed over the batch."""
    pieces: dict[str, Tensor] = {}
    for name, module in held.items():
        rule = rule_of(module)
        assert rule is not None
        made = rule(module, met[name], found[name])
        pieces |= {f"{name}.{weight}": value for weight, value in made.items()}
    return pieces
