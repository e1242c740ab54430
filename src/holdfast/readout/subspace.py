"""Subspace: each class as a plane through the centre of all rows, its leading directions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from holdfast.core.errors import ConfigError
from holdfast.loss.checks import require_option
from holdfast.metrics.residual import Planes
from holdfast.readout.decision import Decision
from holdfast.readout.held_out import HeldOut
from holdfast.readout.readout import Space, register
from holdfast.readout.streaming import Streaming
from holdfast.statistics.class_statistics import Statistics
from holdfast.statistics.drift import DriftName
from holdfast.statistics.kinds import ScatterKind
from holdfast.statistics.spectrum import class_spectrum

DIMENSIONS = (1, 2, 4, 8, 16)
USUAL = 4  # where no row is at hand to choose by
Novelty = Literal["angle", "residual"]


@dataclass(frozen=True)
class Frames(Decision):
    """||B_k (x - c)|| / ||x - c||, B_k with orthonormal rows: the cosine of the angle to the plane.

    Attributes:
        frames: (K, r, f); rows beyond the rank of a class are 0.
        centre: (f,) c.
    """

    frames: Float[Tensor, "k r f"]
    centre: Float[Tensor, " f"]

    def __call__(self, x: Tensor) -> Tensor:
        """(N, K) between 0 and 1."""
        unit = functional.normalize(x - self.centre, dim=1)
        return (unit @ self.frames.flatten(0, 1).T).unflatten(1, self.frames.shape[:2]).norm(dim=2)

    def first(self, dimensions: int) -> Frames:
        """The same with fewer directions."""
        return Frames(self.frames[:, :dimensions], self.centre)

    def network(self) -> nn.Module:
        """The same in single precision."""
        return FramesNetwork(self)


class FramesNetwork(nn.Module):
    """A `Frames` as a network.

    Args:
        of: the decision.
    """

    frames: Tensor
    centre: Tensor

    def __init__(self, of: Frames):
        super().__init__()
        self.shape = of.frames.shape[:2]
        self.register_buffer("frames", of.frames.flatten(0, 1).float().cpu().clone())
        self.register_buffer("centre", of.centre.float().cpu().clone())

    def forward(self, x: Float[Tensor, "n f"]) -> Float[Tensor, "n k"]:
        """(N, f) to (N, K)."""
        unit = functional.normalize(x - self.centre, dim=1)
        along = (unit @ self.frames.T).reshape(-1, self.shape[0], self.shape[1])
        return along.square().sum(2).sqrt()


def solve_frames(statistics: Statistics, dimensions: int, centre: bool) -> Frames:
    """The top eigenvectors of S_k + n_k (m_k - c)^T (m_k - c) of every class.

    Args:
        statistics: with a scatter a class.
        dimensions: of each plane, at most.
        centre: whether c is the mean of all rows; else it is 0.
    """
    middle = statistics.centre() if centre else torch.zeros_like(statistics.mean[0])
    k, f = statistics.mean.shape
    frames = statistics.mean.new_zeros(k, dimensions, f)
    for c in statistics.met.nonzero()[:, 0].tolist():
        mean = (statistics.mean[c] - middle) * statistics.count[c].sqrt()
        directions = class_spectrum(statistics, c, mean[None]).directions[:dimensions]
        frames[c, : len(directions)] = directions
    return Frames(frames, middle)


@register("subspace")
class Subspace(Streaming):
    """argmax_k of the cosine between x - c and the plane of class k: Grassmann classes in closed form.

    B_k has the top eigenvectors of S_k + n_k (m_k - c)^T (m_k - c), the Gram matrix of the class about c,
    the mean of all rows. It is solved from statistics, so that tasks in any order give the same, and it
    follows drift. With one dimension, about 0, and tight classes it is |cos(x, m_k)|: the sign is lost. A
    class of fewer rows than dimensions has a smaller plane, and so smaller scores. Stored are K (1 + f)
    + 203 numbers and the structure's.

    Args:
        on: ``features``, ``hidden`` or ``embedding``.
        dimensions: of each plane; 0 takes, whenever a task ends, that of `DIMENSIONS` by which most
            rows held out are right, the smallest of equals.
        centre: whether rows are read about the mean of all; features after a ReLU share a direction else.
        structure: of the stored scatters: low_rank, full, factor or diagonal.
        rank: of low_rank, at least ``dimensions`` - 1.
        drift: how the stored statistics follow the network.
        novelty: by what an input is unknown: the ``angle`` to the nearest plane, or the ``residual`` off
            the nearest plane about a class's own mean (`Planes.novelty`).

    Attributes:
        chosen: the dimensions in use.

    Raises:
        ConfigError: for a structure that knows no classes, dimensions that the rank cannot hold, or
            another novelty.

    Source: the form is derived here, for the class representation of GCR (CVPR 2024), whose code was read;
        docs/theory.md, section 18
    """

    label = "subspace"

    def __init__(
        self,
        on: Space = "features",
        dimensions: int = 0,
        centre: bool = True,
        structure: ScatterKind = "low_rank",
        rank: int = 16,
        drift: DriftName = "ridge",
        novelty: Novelty = "angle",
    ):
        super().__init__(on, drift, structure, rank)
        require_option("novelty", novelty, get_args(Novelty))
        if structure in ("none", "shared"):
            raise ConfigError(
                f"subspace keeps a scatter a class: structure={structure} must be low_rank, full, factor "
                "or diagonal."
            )
        if dimensions < 0 or (structure == "low_rank" and dimensions > rank + 1):
            raise ConfigError(
                f"a plane has at least 1 dimension and of rank={rank} at most {rank + 1}, not {dimensions}."
            )
        self.dimensions, self.centre = dimensions, centre
        self.novelty: Novelty = novelty
        self.chosen = dimensions or USUAL
        self._planes: Planes | None = None

    @property
    def choices(self) -> tuple[str, ...]:  # type: ignore[override]
        """The dimensions, where they are not fixed."""
        return () if self.dimensions else ("dimensions",)

    def choose(self, heldout: HeldOut) -> None:
        """Choose the dimensions on the rows held out."""
        if self.dimensions or not heldout.folds:
            return
        most = self.rank if self.structure == "low_rank" else max(DIMENSIONS)
        tried = [d for d in DIMENSIONS if d <= most + 1]
        right = dict.fromkeys(tried, 0)
        for fold in heldout.folds:
            frames = solve_frames(fold.rest, max(tried), self.centre)
            for d in tried:
                right[d] += int((fold.scores(frames.first(d)).argmax(1) == fold.y).sum())
        self.chosen = max(tried, key=lambda d: right[d])

    def solve(self, statistics: Statistics) -> Frames:
        """The planes."""
        return solve_frames(statistics, self.chosen, self.centre)

    def strangeness(
        self, statistics: Statistics, decision: Decision, x: Float[Tensor, "n m"]
    ) -> Float[Tensor, " n"]:
        """(N,) minus the cosine to the nearest plane, or the residual off it."""
        if self.novelty == "angle":
            return super().strangeness(statistics, decision, x)
        planes = self.planes if statistics is self.statistics else Planes.of(statistics)
        return planes.novelty(x)

    @property
    def planes(self) -> Planes:
        """By which residuals are measured: made once a fit."""
        if self._planes is None:
            self._planes = Planes.of(self.known)
        return self._planes

    def strange_network(self) -> nn.Module | None:
        """`strangeness` as a network."""
        return super().strange_network() if self.novelty == "angle" else self.planes.network()

    def forget_decision(self) -> None:
        """And the planes."""
        super().forget_decision()
        self._planes = None

    def get_extra_state(self) -> dict[str, Tensor]:
        """Everything that was learned, as tensors by name."""
        state = super().get_extra_state()
        return state | {"dimensions": torch.tensor(self.chosen)} if state else state

    def set_extra_state(self, state: dict[str, Tensor]) -> None:
        """Take over what was learned."""
        super().set_extra_state(state)
        if state:
            self.chosen = int(state["dimensions"])
