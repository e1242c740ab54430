"""K-FAC: Kronecker factors of a curvature, one pair a layer.

Limits: plain convolutions (no groups, zero padding), linear layers and batch norm with running
statistics, each used once in a pass; layers are taken as independent of each other. No Hessian.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor, nn

from holdfast.core.errors import ConfigError
from holdfast.core.ranks import added
from holdfast.curvature.backward import ReusedLayerError, output_gradients
from holdfast.curvature.fisher import OutputFactors
from holdfast.curvature.layers import known_layers, rule_of, squared
from holdfast.curvature.layout import Layout
from holdfast.curvature.matrix import Kronecker, Pair

if TYPE_CHECKING:
    from holdfast.core.output import Output
    from holdfast.learner.learner import Learner


def kronecker_factors(
    learner: Learner,
    layout: Layout,
    read: Callable[[Output], Tensor],
    x: Tensor,
    factors: OutputFactors,
) -> Kronecker:
    """sum_i sum_r (J_i^T v_ir)(J_i^T v_ir)^T, approximated by G (x) A in every layer (K-FAC).

    A layer with T positions (1 for a linear one) has A = sum_it a_it a_it^T / (n T) and
    G = sum_itr g_itr g_itr^T, a its inputs with a 1 for the bias, g the gradients of its outputs; layers
    are taken as independent of each other. Exact for one linear layer and one sample, and block by
    block for a deep linear network with a squared loss. Batch norm's scale and shift have the
    diagonal.

    Raises:
        ConfigError: for a network with other layers, or with a layer used twice in a pass.

    Source: Martens and Grosse (2015); Grosse and Martens (2016) for convolutions (the ``expand`` of
    Eschenhagen et al., 2023).
    """
    known = known_layers(learner, layout)
    if known is None:
        raise ConfigError(_unknown(learner, layout))
    dense = {name: m for name, m in known.items() if not isinstance(m, nn.BatchNorm2d)}
    norms = {name: m for name, m in known.items() if name not in dense}

    def work(rows: slice) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]]:
        A: dict[str, Tensor] = {}
        G: dict[str, Tensor] = {}
        rest = {name: torch.zeros(shape).to(factors.p) for name, shape in layout.shapes.items()}
        for batch in output_gradients(learner, known, read, x[rows], factors.some(rows)):
            with torch.no_grad():
                for name, module in dense.items():
                    if batch.first:
                        biased = f"{name}.bias" in layout.shapes
                        A[name] = A.get(name, 0) + _input_factor(module, batch.inputs[name], biased)
                    G[name] = G.get(name, 0) + _output_factor(module, batch.gradients[name])
                for name, value in squared(norms, batch).items():
                    rest[name] += value
        return A, G, rest

    try:
        A, G, rest = added(len(x), work)
    except ReusedLayerError as error:
        raise ConfigError(
            f"the layer {error} is used twice in a forward pass, which Kronecker factors do not "
            "support: use structure='diagonal'."
        ) from None
    pairs: dict[str, list[Pair]] = {name: [(A[name] / len(x), G[name])] for name in dense}
    return Kronecker(layout, pairs, layout.flat(rest))


def _input_factor(module: nn.Module, a: Tensor, biased: bool) -> Float[Tensor, "i i"]:
    """A batch's share of A, over T; it does not depend on the output factors."""
    if isinstance(module, nn.Conv2d):
        a = a.transpose(1, 2)
    positions, a = a[0, ..., 0].numel(), a.flatten(0, -2)
    if biased:
        a = torch.cat([a, torch.ones_like(a[:, :1])], 1)
    return a.T @ a / positions


def _output_factor(module: nn.Module, g: Float[Tensor, "r n ..."]) -> Float[Tensor, "o o"]:
    """A batch's share of G."""
    if isinstance(module, nn.Conv2d):
        g = g.flatten(3).transpose(2, 3)
    g = g.flatten(0, -2)
    return g.T @ g


def _unknown(learner: nn.Module, layout: Layout) -> str:
    names = {name.rpartition(".")[0] for name in layout.shapes}
    strange = [n for n, m in learner.named_modules() if n in names and rule_of(m) is None]
    return (
        "Kronecker factors know linear layers, plain convolutions and batch norm with running "
        f"statistics; {strange[0]} is none of them: use structure='diagonal'."
    )
