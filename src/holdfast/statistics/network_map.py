"""A small network as a drift map: draws from each class's Gaussian are pushed through it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from holdfast.statistics.linear_maps import ridge
from holdfast.statistics.maps import Drift, DriftMap, Moved
from holdfast.statistics.roots import symmetric_root

if TYPE_CHECKING:
    from holdfast.statistics.class_statistics import Statistics

DRAWS = 1000  # of a class, at least; and 4 f
STRENGTHS = (10.0, 1.0, 1e-1, 1e-2, 1e-3, 1e-4)  # of the linear part, the most cautious first
BATCH, RATE, WIDEST = 256, 3e-3, 512
BLOCK = 8  # classes whose draws are held at once


@dataclass(frozen=True)
class NetworkMap(Drift):
    """x -> linear(x) + share (gelu((x - centre) / size U + c) V + d): what is not linear is added.

    A class goes with `draws` draws from its Gaussian, whose mean and scatter are taken on the other
    side. The
    draws have mean 0 and covariance I exactly, so that where V = 0 and d = 0 the statistics go as by the
    linear map alone.

    Attributes:
        linear: the ridge map beside which it learns.
        weights: U (f, h), c (h,), V (h, f), d (f,).
        size: root mean square of the centred inputs' entries.
        share: of what is not linear.
        residual: as of `Drift`.
        forecast: as of `Drift`.
        noise: as of `Drift`.

    Source: AdaGauss (NeurIPS 2024); the linear part as in GATF; docs/theory.md, section 9
    """

    linear: DriftMap
    weights: tuple[Tensor, ...]
    size: float
    share: float = 1.0
    residual: float | None = None
    forecast: float | None = None
    noise: Tensor | None = None

    def __call__(self, x: Float[Tensor, "n f"]) -> Float[Tensor, "n f"]:
        """Move points."""
        return self.linear(x) + self.share * bent(self._unit(x), self.weights)

    def _unit(self, x: Tensor) -> Tensor:
        return (x - self.linear.centre) / self.size

    def carry(self, statistics: Statistics) -> Moved:
        """By draws of every class, with as much scatter as it has; without scatters, means alone."""
        scatter, met = statistics.scatter, statistics.met.nonzero()[:, 0].tolist()
        if not any(bool(part.any()) for part in self.weights[2:]):
            return self.linear.carry(statistics)
        if not scatter.tensors():
            return self(statistics.mean), scatter
        f, classes = statistics.mean.shape[1], len(statistics.count)
        noise = standard_draws(max(DRAWS, 4 * f), f).to(statistics.mean)
        mean, moved = statistics.mean.clone(), None
        for block in (met[i : i + BLOCK] for i in range(0, len(met), BLOCK)):
            rows, y = [], []
            for k in block:
                drawn = self(statistics.mean[k] + noise @ root_of(statistics, k))
                mean[k] = drawn.mean(0)
                weight = max(float(statistics.count[k]) - 1, 0.0) / len(noise)
                rows.append((drawn - mean[k]) * weight**0.5)
                y.append(torch.full((len(noise),), k, device=drawn.device))
            part = scatter.of(torch.cat(rows), torch.cat(y), classes)
            moved = part if moved is None else moved.plus(part)
        return mean, scatter if moved is None else moved

    def slowed(self, share: float) -> NetworkMap:
        """Share times every movement."""
        return replace(self, linear=self.linear.slowed(share), share=share * self.share)


def root_of(statistics: Statistics, k: int) -> Float[Tensor, "f f"]:
    """R with R^T R the covariance of class k; the pooled one where one scatter serves all classes."""
    if statistics.scatter.by_class:
        covariance = statistics.scatter.matrix(k) / (statistics.count[k] - 1).clamp_min(1)
    else:
        covariance = statistics.within()
    return symmetric_root(covariance)


def standard_draws(count: int, width: int, seed: int = 0) -> Float[Tensor, "n f"]:
    """(N, f) draws Z with sum 0 and Z^T Z = N I, the same for one seed.

    Args:
        count: N, above f.
        width: f.
        seed: of the draws.
    """
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(count, width, generator=generator, dtype=torch.float64)
    basis, upper = torch.linalg.qr(noise - noise.mean(0))
    return count**0.5 * basis * upper.diagonal().sign()  # the sign keeps them near the draws


def bent(x: Float[Tensor, "n f"], weights: tuple[Tensor, ...]) -> Float[Tensor, "n f"]:
    """gelu(x U + c) V + d."""
    u, c, v, d = weights
    return functional.gelu(x @ u + c) @ v + d


def network(x: Float[Tensor, "n f"], moved: Float[Tensor, "n f"]) -> Callable[[int], NetworkMap]:
    """The ridge map that every fifth input asks for, and a network from 0 for what it leaves.

    Adam on the mean square, on batches that a seed draws; each number of steps goes on from the one
    before it.
    """
    line = _best_ridge(x, moved)
    size = max(float((x - line.centre).square().mean().sqrt()), 1e-12)
    inputs, left = (x - line.centre) / size, x + moved - line(x)
    unit = max(float(left.square().mean().sqrt()), 1e-12)
    left = left / unit
    f, hidden = x.shape[1], min(max(2 * x.shape[1], 64), WIDEST)
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(f, hidden, generator=generator, dtype=torch.float64) / f**0.5
    zero = torch.zeros(hidden + f, dtype=torch.float64)
    parts = (start, zero[:hidden], torch.zeros(hidden, f, dtype=torch.float64), zero[hidden:])
    weights = [part.to(x).requires_grad_() for part in (p.clone() for p in parts)]
    search, done = torch.optim.Adam(weights, RATE), 0

    def stopped(steps: int) -> NetworkMap:
        nonlocal done
        assert steps >= done, "numbers of steps are asked in their order"
        with torch.enable_grad():
            for _ in range(done, steps):
                rows = torch.randint(len(x), (min(BATCH, len(x)),), generator=generator).to(
                    x.device
                )
                search.zero_grad()
                ((bent(inputs[rows], tuple(weights)) - left[rows]) ** 2).mean().backward()
                search.step()
        done = steps
        u, c, v, d = (w.detach().clone() for w in weights)
        return NetworkMap(line, (u, c, v * unit, d * unit), size)

    return stopped


def _best_ridge(x: Tensor, moved: Tensor) -> DriftMap:
    """The ridge whose strength best predicts every fifth input."""
    test = torch.arange(len(x), device=x.device) % 5 == 3
    by = ridge(x[~test], moved[~test])
    gap = lambda s: float(((x[test] + moved[test] - by(s)(x[test])) ** 2).sum())
    return ridge(x, moved)(min(STRENGTHS, key=gap))
