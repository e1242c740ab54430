"""Residual: how far rows lie from the planes of classes or tasks: what is new, and of which task it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from holdfast.core.errors import ConfigError
from holdfast.statistics.class_statistics import Statistics
from holdfast.statistics.spectrum import class_spectrum

SHARE = 0.99  # of the variance that the plane holds
POOL = 10.0  # rows that the mean tail of all groups counts for beside a group's own


@dataclass(frozen=True)
class Planes:
    """A mean and leading directions of each group of rows, and what is left of its variance.

    Attributes:
        means: (G, f); of a group without rows nan.
        frames: of each group (r, f) orthonormal directions.
        tails: (G,) variance of its rows off the plane, summed over directions, by n - 1.
        scales: (G,) what residuals are divided by: (tail (n - 1) + 10 t) / (n - 1 + 10), t the mean of the
            tails; 1 where all are 0.
        derived: it follows from what is stored, so that a memory meter does not count it again.
    """

    means: Float[Tensor, "g f"]
    frames: tuple[Tensor, ...]
    tails: Float[Tensor, " g"]
    scales: Float[Tensor, " g"]
    derived = True

    @staticmethod
    def of(statistics: Statistics, share: float = SHARE) -> Planes:
        """The fewest leading directions of each class that hold a share of its variance.

        Args:
            statistics: with a scatter a class.
            share: above 0, at most 1.

        Raises:
            ConfigError: for another share, or statistics without a scatter a class.
        """
        if not 0 < share <= 1:
            raise ConfigError(
                f"a plane holds a share of the variance above 0, at most 1, not {share}."
            )
        if not statistics.scatter.by_class or not statistics.scatter.tensors():
            raise ConfigError(
                "planes need a scatter a class: use structure=low_rank, full, factor or diagonal."
            )
        frames, tails = [], []
        for k in range(len(statistics.count)):
            values, directions, rest = class_spectrum(statistics, k)
            total = float(values.sum()) + rest
            place = int(
                (values.cumsum(0) < (share - 1e-12) * total).sum()
            )  # of the one that reaches it
            frames.append(directions[: place + 1])
            tails.append(total - float(values[: place + 1].sum()))
        free = (statistics.count - 1).clamp_min(0)
        left = torch.tensor(tails, dtype=torch.float64).to(free).clamp_min(0)
        mean = left.sum() / free.sum().clamp_min(1)
        scales = (left + POOL * mean) / (free + POOL)
        scales = torch.where(scales > 0, scales, 1.0)
        means = statistics.mean.masked_fill(~statistics.met[:, None], torch.nan)
        return Planes(means, tuple(frames), left / free.clamp_min(1), scales)

    def residuals(self, x: Float[Tensor, "n f"]) -> Float[Tensor, "n g"]:
        """(N, G) ||(I - U U^T) (x - m)||^2 of each group; +inf for one without rows."""
        columns = []
        for mean, frame in zip(self.means, self.frames):
            away = x - mean
            columns.append((away - (away @ frame.T) @ frame).square().sum(1))
        return torch.stack(columns, 1).nan_to_num(torch.inf, posinf=torch.inf)

    def scaled(self, x: Float[Tensor, "n f"]) -> Float[Tensor, "n g"]:
        """(N, G) residuals by each group's own scale, so that they can be compared."""
        return self.residuals(x) / self.scales

    def novelty(self, x: Float[Tensor, "n f"]) -> Float[Tensor, " n"]:
        """(N,) the smallest of them: how far a row is from all that is known."""
        return self.scaled(x).amin(1)

    def network(self) -> nn.Module:
        """`novelty` in single precision, without the groups that have no rows."""
        return NoveltyNetwork(self)


class NoveltyNetwork(nn.Module):
    """min_g of the scaled residuals, as a network.

    Args:
        planes: whose.
    """

    means: Tensor
    frames: Tensor
    scales: Tensor

    def __init__(self, planes: Planes):
        super().__init__()
        there = ~planes.means.isnan().any(1)
        frames = [f for f, met in zip(planes.frames, there.tolist()) if met]
        widest = max(len(f) for f in frames)
        full = [torch.cat([f, f.new_zeros(widest - len(f), f.shape[1])]) for f in frames]
        buffers = {
            "means": planes.means[there], "frames": torch.stack(full), "scales": planes.scales[there]
        }  # fmt: skip
        for name, value in buffers.items():
            self.register_buffer(name, value.float().cpu().clone())

    def forward(self, x: Float[Tensor, "n f"]) -> Float[Tensor, " n"]:
        """(N, f) to (N,)."""
        away = x[None] - self.means[:, None]
        along = away @ self.frames.transpose(1, 2)
        residual = (away - along @ self.frames).square().sum(2).T / self.scales
        return residual.amin(1)


def task_residuals(
    statistics: Statistics,
    tasks: Sequence[int],
    x: Float[Tensor, "n f"],
    share: float = SHARE,
) -> Float[Tensor, "n t"]:
    """(N, T) scaled residuals of the plane of each task; the smallest says which task a row is of.

    A task's plane is that of all rows of its classes, about their common mean.

    Args:
        statistics: of the classes, with a scatter a class.
        tasks: of each class, from 0.
        x: rows.
        share: of the variance that a plane holds.

    Source: SubspaceAD (its patches are pooled features here); docs/theory.md, section 18
    """
    joined = statistics.regroup(tasks, max(tasks) + 1)
    return Planes.of(joined, share).scaled(x.to(joined.mean))
