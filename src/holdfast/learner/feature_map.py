"""FeatureMap: a trainable map between the features of two networks, made when their width is known."""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from holdfast.core.errors import ConfigError, unknown

MapKind = Literal["linear", "mlp"]
WEIGHTS = ("weight", "bias", "inner", "inner_bias", "outer")
FAR = 3.0  # spreads from the centre, beyond which a map moves rows no further: slopes stay bounded
BUFFERS = ("centre", "scale")


class FeatureMap(nn.Module):
    """x + r (W z + b), z = (x - c) / r, and for ``mlp`` + r U gelu(V z + v) / sqrt(times f) inside.

    c and r are mean and spread of features where it is made, so that one learning rate serves features
    of any scale and offset; where z is longer than 3, it is shortened to that. It starts as the identity:
    W, b and U are 0. Before `open` it has no weights, and is the identity too. Its state says its width:
    a map without weights takes over one that has them.

    Args:
        kind: ``linear`` or ``mlp``.
        times: hidden units of ``mlp``, as a multiple of the width f.

    Raises:
        ConfigError: for another kind, or fewer hidden units than features.
    """

    weight: nn.Parameter
    bias: nn.Parameter
    inner: nn.Parameter
    inner_bias: nn.Parameter
    outer: nn.Parameter
    centre: Tensor
    scale: Tensor

    def __init__(self, kind: MapKind = "mlp", times: int = 4):
        super().__init__()
        if kind not in get_args(MapKind):
            raise unknown("feature map", str(kind), get_args(MapKind))
        if times < 1:
            raise ConfigError(
                f"a map's hidden units are at least 1 time its features, not {times}."
            )
        self.kind, self.times = kind, times
        for name in WEIGHTS:
            self.register_parameter(name, None)
        for name in BUFFERS:
            self.register_buffer(name, None)

    @property
    def is_open(self) -> bool:
        """Whether it has weights."""
        return self.weight is not None

    def open(self, x: Float[Tensor, "n f"], like: Tensor) -> None:
        """Make its weights anew, with the global generator.

        Args:
            x: (N, f) features such as it will be given.
            like: whose type and device the weights have.
        """
        width, hidden = x.shape[1], self.times * x.shape[1]
        away = x - x.mean(0)
        weights = {"weight": torch.zeros(width, width), "bias": torch.zeros(width)}
        if self.kind == "mlp":
            drawn = torch.randn(hidden, width + 1)
            weights |= {"inner": drawn[:, :-1], "inner_bias": drawn[:, -1]}
            weights |= {"outer": torch.zeros(width, hidden)}
        self._set({name: w.to(like).clone() for name, w in weights.items()})
        self.centre = x.mean(0).to(like)
        least = 0.1 * x.square().sum(1).mean().sqrt()  # of rows that are all alike
        self.scale = (
            torch.maximum(away.square().sum(1).mean().sqrt(), least).clamp_min(1e-6).to(like)
        )

    def close(self) -> None:
        """Forget the weights: it is the identity again."""
        self._set({})

    def _set(self, values: dict[str, Tensor]) -> None:
        for name in WEIGHTS:
            setattr(self, name, nn.Parameter(values[name]) if name in values else None)
        for name in BUFFERS:
            setattr(self, name, values.get(name))

    def forward(self, x: Float[Tensor, "n f"]) -> Float[Tensor, "n f"]:
        """(N, f) features to (N, f)."""
        if not self.is_open:
            return x
        x = x.to(self.weight)
        z = (x - self.centre) / self.scale
        z = z / (z.norm(dim=1, keepdim=True) / FAR).clamp_min(1.0)
        move = functional.linear(z, self.weight, self.bias)
        if self.kind == "mlp":
            units = functional.gelu(functional.linear(z, self.inner, self.inner_bias))
            move = move + functional.linear(units, self.outer) / units.shape[1] ** 0.5
        return x + self.scale * move

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        """As any module's, of whatever width the state is."""
        names = [name for name in (*WEIGHTS, *BUFFERS) if prefix + name in state_dict]
        self._set({name: torch.empty_like(state_dict[prefix + name]) for name in names})
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
