"""Effective weights: what a layer multiplies by, where ``torch.nn.utils.parametrize`` makes it.

A layer under ``weight_norm``, ``orthogonal`` or a parametrisation of one's own has ``weight`` only when it
is asked; its parameters are ``parametrizations.weight.original`` and what else makes it. Anchors and
curvatures are about ``weight``.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.utils.parametrize import ParametrizationList

Named = dict[str, Tensor]
MARK = ".parametrizations."


def effective_name(name: str) -> str:
    """The weight that a parameter makes, or is.

    >>> effective_name("net.0.parametrizations.weight.original0"), effective_name("net.0.bias")
    ('net.0.weight', 'net.0.bias')
    """
    layer, mark, rest = name.partition(MARK)
    return f"{layer}.{rest.split('.')[0]}" if mark else name


@torch.enable_grad()
def effective_weights(network: nn.Module) -> Named:
    """The weights by name, in the order of the parameters; a parametrised one once, with its graph.

    Those that are not parametrised are the parameters themselves.
    """
    output: Named = {}
    for name, p in network.named_parameters():
        effective = effective_name(name)
        if effective == name:
            output[name] = p
        elif effective not in output:
            layer, _, weight = effective.rpartition(".")
            output[effective] = getattr(network.get_submodule(layer), weight)
    return output


def call_effective(
    network: nn.Module, weights: Mapping[str, Tensor], inputs: tuple[Any, ...]
) -> Any:
    """What a network says with other effective weights: ``torch.func.functional_call``, which would make
    the parameters behind a parametrised weight anew, and in place.

    Args:
        network: is as before afterwards.
        weights: by effective name; what is not named stays.
        inputs: of its forward pass.
    """
    lists = {
        effective_name(f"{name}.original"): module
        for name, module in network.named_modules()
        if isinstance(module, ParametrizationList)
    }
    swapped = {name: module for name, module in lists.items() if name in weights}
    for name, module in swapped.items():
        module.__dict__["forward"] = partial(_itself, weights[name])
    try:
        plain = {name: w for name, w in weights.items() if name not in swapped}
        return functional_call(network, plain, inputs)
    finally:
        for module in swapped.values():
            del module.__dict__["forward"]


def _itself(weight: Tensor) -> Tensor:
    return weight


def parametrised(network: nn.Module) -> list[str]:
    """The names of weights that are parametrised and trained."""
    names = [n for n, p in network.named_parameters() if MARK in n and p.requires_grad]
    return list(dict.fromkeys(effective_name(name) for name in names))


def note_gradients(network: nn.Module) -> None:
    """Let every parametrised weight of a network note its gradient, for `EffectiveMoves`."""
    for module in network.modules():
        if isinstance(module, ParametrizationList):
            module.register_forward_hook(_listen)


def _listen(module: nn.Module, inputs: Any, weight: Tensor) -> None:
    """Of each use of a weight in a graph, the gradient is added to the others."""
    if "forward" not in module.__dict__ and weight.requires_grad:  # else it is no weight of its own
        weight.register_hook(lambda g: _add(module, g))


def _add(module: nn.Module, g: Tensor) -> None:
    before = module.__dict__.get("effective_gradient")
    module.__dict__["effective_gradient"] = g.detach() if before is None else before + g.detach()


class EffectiveMoves:
    """Gradients and moves of a step by effective weights, where some are parametrised.

    Args:
        network: before the optimiser has moved it.
    """

    def __init__(self, network: nn.Module):
        self.network = network
        names = parametrised(network)
        weights = effective_weights(network) if names else {}
        self.before = {name: weights[name].detach().clone() for name in names}

    def gradients(self, gradient: Named) -> Named:
        """The gradients, those of parametrised weights from what they have noted since the last time.

        Args:
            gradient: by parameter.
        """
        if not self.before:
            return gradient
        output = {n: g for n, g in gradient.items() if MARK not in n}
        for name in self.before:
            layer, _, weight = name.rpartition(".")
            module = self.network.get_submodule(f"{layer}{MARK}{weight}")
            noted = module.__dict__.pop("effective_gradient", None)
            if noted is not None:
                output[name] = noted
        return output

    def moves(self, delta: Named) -> Named:
        """The moves, those of parametrised weights by what they are now.

        Args:
            delta: by parameter.
        """
        if not self.before:
            return delta
        now = effective_weights(self.network)
        output = {n: d for n, d in delta.items() if MARK not in n}
        return output | {n: now[n].detach() - w for n, w in self.before.items()}
