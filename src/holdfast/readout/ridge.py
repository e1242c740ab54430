"""Ridge regression of one-hot targets from accumulated Gram statistics: exact, without images."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from holdfast.errors import ConfigError
from holdfast.readout.drift import DriftName
from holdfast.readout.readout import Space
from holdfast.readout.statistics import Statistics
from holdfast.readout.streaming import Streaming

RIDGES = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)


class Ridge(Streaming):
    """argmax_k of the ridge regression of one-hot targets on x, with an intercept.

    W = (G + strength tr(G)/f I)^-1 C, G the centred Gram matrix and C the centred products with the
    targets, both read off the counts, means and pooled scatter: K (1 + f) + f^2 numbers, and exactly
    the regression on all rows seen while the network stands still.

    Args:
        on: ``features``, ``hidden`` or ``embedding``.
        strength: relative to the mean of G's diagonal; None takes, at each task, that of `RIDGES` with
            which all statistics but every fifth row of the task best predict these rows' targets.
        drift: how the stored statistics follow the network; a linear map moves G and C with the features.

    Raises:
        ConfigError: for a negative strength.

    Source: ACIL (Zhuang et al., NeurIPS 2022); THEORY 9.
    """

    name = "ridge"

    def __init__(
        self,
        on: Space = "features",
        strength: float | None = None,
        drift: DriftName = "ridge",
    ):
        super().__init__(on, drift, "shared")
        if strength is not None and not strength >= 0:
            raise ConfigError(f"the strength of a ridge must be at least 0, not {strength}.")
        self.fixed = strength is not None
        self.strength = 1e-2 if strength is None else strength

    def prepare(self, before: Statistics, x: Float[Tensor, "n f"], y: Int[Tensor, " n"]) -> None:
        """Choose the strength on every fifth row."""
        held = torch.arange(len(x), device=x.device) % 5 == 4
        if self.fixed or not bool(held.any()):
            return
        rest = before.add(x[~held], y[~held], max(len(before.count), int(y.max()) + 1))
        target = functional.one_hot(y[held], len(rest.count)).to(x)

        def error(strength: float) -> float:
            weight, bias = solve(rest, strength)
            return float(((x[held] @ weight.T + bias - target) ** 2).sum())

        self.strength = min(RIDGES, key=error)

    def score(self, x: Float[Tensor, "n f"]) -> Float[Tensor, "n k"]:
        """X W^T + b."""
        weight, bias = solve(self.known, self.strength)
        return x @ weight.T + bias

    def get_extra_state(self) -> dict[str, Tensor]:
        """Everything that was learned, as tensors by name."""
        state = super().get_extra_state()
        strength = torch.tensor(self.strength, dtype=torch.float64)
        return state | {"strength": strength} if state else state

    def set_extra_state(self, state: dict[str, Tensor]) -> None:
        """Take over what was learned."""
        super().set_extra_state(state)
        if state:
            self.strength = float(state["strength"])


class RandomFeatureRidge(Ridge):
    """Ridge regression on relu(x R), R random and fixed: K (1 + M) + M^2 numbers for M features.

    R (f, M) is standard normal, made anew from its seed whenever it is needed: it knows no data.

    Args:
        on: ``features``, ``hidden`` or ``embedding``.
        width: M.
        strength: as for `Ridge`.
        drift: as for `Ridge`; the map is fitted between random features.
        seed: of R.

    Raises:
        ConfigError: for a width below 1.

    Source: McDonnell et al., *RanPAC*, NeurIPS 2023
    """

    name = "random-ridge"

    def __init__(
        self,
        on: Space = "features",
        width: int = 512,
        strength: float | None = None,
        drift: DriftName = "ridge",
        seed: int = 0,
    ):
        super().__init__(on, strength, drift)
        if width < 1:
            raise ConfigError(f"random features need a width of at least 1, not {width}.")
        self.width, self.seed = width, seed

    def represent(self, x: Float[Tensor, "n f"]) -> Float[Tensor, "n m"]:
        """relu(x R / sqrt f)."""
        generator = torch.Generator().manual_seed(self.seed)
        shape = (x.shape[1], self.width)
        r = torch.randn(shape, generator=generator, dtype=torch.float64).to(x.device)
        return functional.relu(x.double() @ r / x.shape[1] ** 0.5)


def solve(s: Statistics, strength: float) -> tuple[Float[Tensor, "k f"], Float[Tensor, " k"]]:
    """(K, f) weights and (K,) intercepts of the ridge regression with one-hot targets."""
    share = s.count / s.count.sum()
    centre = share @ s.mean
    gap = s.mean - centre
    gram = s.scatter.pooled() + (gap * s.count[:, None]).T @ gap
    scale = (strength * gram.diagonal().mean()).clamp_min(1e-12)
    weight = torch.linalg.solve(
        gram + scale * torch.eye(len(gram)).to(gram), (gap * s.count[:, None]).T
    ).T
    return weight, share - weight @ centre
