"""Kronecker factors of a curvature: one pair a layer (K-FAC)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor, nn

from holdfast.curvature.layers import ReusedLayerError, layers, rule_of, slopes, squared
from holdfast.curvature.layout import Layout
from holdfast.curvature.matrix import Kronecker, Pair
from holdfast.errors import ConfigError

if TYPE_CHECKING:
    from holdfast.learner.learner import Learner, Output


def kronecker(
    learner: Learner,
    layout: Layout,
    read: Callable[[Output], Tensor],
    x: Tensor,
    roots: Float[Tensor, "n r k"],
) -> Kronecker:
    """sum_i sum_r (J_i^T v_ir)(J_i^T v_ir)^T, approximated by G (x) A in every layer.

    A layer with T positions (1 for a linear one) has A = sum_it a_it a_it^T / (n T) and
    G = sum_itr g_itr g_itr^T, a its inputs with a 1 for the bias, g the slopes of its outputs; layers
    are taken as independent of each other. Exact for one linear layer and one sample, and block by
    block for a deep linear network with a squared loss. Batch norm's scale and shift have the
    diagonal.

    Raises:
        ConfigError: for a network with other layers, or with a layer used twice in a pass.

    Source: Martens and Grosse (2015); Grosse and Martens (2016) for convolutions (the ``expand`` of
    Eschenhagen et al., 2023).
    """
    held = layers(learner, layout)
    if held is None:
        raise ConfigError(_unknown(learner, layout))
    dense = {name: m for name, m in held.items() if not isinstance(m, nn.BatchNorm2d)}
    A: dict[str, Tensor] = {}
    G: dict[str, Tensor] = {}
    rest = {name: torch.zeros(shape).to(roots) for name, shape in layout.shapes.items()}
    others = {name: m for name, m in held.items() if name not in dense}
    try:
        for r, met, found in slopes(learner, held, read, x, roots):
            with torch.no_grad():
                for name, module in dense.items():
                    biased = f"{name}.bias" in layout.shapes
                    a, g = _columns(module, met[name], found[name], biased, r == 0)
                    if a is not None:
                        A[name] = A.get(name, 0) + a
                    G[name] = G.get(name, 0) + g
                for name, value in squared(others, met, found).items():
                    rest[name] += value
    except ReusedLayerError as error:
        raise ConfigError(
            f"the layer {error} is used twice in a forward pass, which Kronecker factors do not "
            "support: use structure='diagonal'."
        ) from None
    pairs: dict[str, list[Pair]] = {name: [(A[name] / len(x), G[name])] for name in dense}
    return Kronecker(layout, pairs, layout.flat(rest))


def _columns(
    module: nn.Module, a: Tensor, g: Tensor, biased: bool, first: bool
) -> tuple[Tensor | None, Tensor]:
    """A batch's share of A (once a batch: it does not depend on the root), over T, and of G."""
    if isinstance(module, nn.Conv2d):
        a, g = a.transpose(1, 2), g.flatten(2).transpose(1, 2)
    g = g.flatten(0, -2)
    if not first:
        return None, g.T @ g
    positions, a = a[0, ..., 0].numel(), a.flatten(0, -2)
    if biased:
        a = torch.cat([a, torch.ones_like(a[:, :1])], 1)
    return a.T @ a / positions, g.T @ g


def _unknown(learner: nn.Module, layout: Layout) -> str:
    names = {name.rpartition(".")[0] for name in layout.shapes}
    strange = [n for n, m in learner.named_modules() if n in names and rule_of(m) is None]
    return (
        "Kronecker factors know linear layers, plain convolutions and batch norm with running "
        f"statistics; {strange[0]} is none of them: use structure='diagonal'."
    )
