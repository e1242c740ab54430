"""A random subspace: the weights of a task move in d random directions alone."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from holdfast.anchor.rule import Named, Rule
from holdfast.core.errors import ConfigError
from holdfast.core.rng import derive_seed
from holdfast.core.step import Step


def hartley(x: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """The Hartley transform, orthonormal and its own inverse: sum_j (cos + sin)(2 pi i j / n) x_j / sqrt n.

    In O(n log n), for any n.

    Args:
        x: (n,) numbers.

    >>> torch.round(hartley(hartley(torch.tensor([1.0, 2.0, 3.0]))), decimals=4).tolist()
    [1.0, 2.0, 3.0]
    """
    spectrum = torch.fft.fft(x)
    return (spectrum.real - spectrum.imag) / len(x) ** 0.5


class Directions:
    """d orthonormal directions of an n-dimensional space, by a seed: P^T = S H D.

    D are random signs, H is `hartley`, S picks d of n rows at random: the orthonormal form of Fastfood.
    Nothing is stored that the seed does not give again.

    Args:
        n: of the space.
        d: how many, at most n.
        seed: which.
        device: of the numbers.

    Attributes:
        derived: it follows from the seed, so that a memory meter does not count it.
    """

    derived = True

    def __init__(self, n: int, d: int, seed: int, device: torch.device | None = None):
        chance = torch.Generator().manual_seed(seed)
        self.signs = (torch.randint(2, (n,), generator=chance) * 2 - 1).to(device, torch.int8)
        self.rows = torch.randperm(n, generator=chance)[:d].to(device)

    def coordinates(self, x: Float[Tensor, " n"]) -> Float[Tensor, " d"]:
        """P^T x."""
        return hartley(x * self.signs)[self.rows]

    def span(self, c: Float[Tensor, " d"]) -> Float[Tensor, " n"]:
        """P c."""
        return hartley(c.new_zeros(len(self.signs)).index_copy(0, self.rows, c)) * self.signs

    def projected(self, x: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
        """P P^T x."""
        return self.span(self.coordinates(x))


class RandomSubspace(Rule):
    """w = w_0 + P theta: gradient and update are projected on d random directions of all weights jointly.

    g <- P P^T g and dw <- P P^T dw, P orthonormal, new with each task, by a seed (`Directions`). Under SGD
    that is SGD in theta from 0, momentum included. As an anchor it is weak: two random subspaces
    of dimension d share about d / D of each other, so it protects by moving little. What it measures is how
    many dimensions a task needs: `holdfast.study.intrinsic.intrinsic_dimension`.

    Args:
        d: how many directions; below 1 a share of the D weights that move.
        seed: of P.

    Raises:
        ConfigError: for a number that is not above 0; at a step, for more directions than weights.

    Source: Li et al., *Measuring the intrinsic dimension of objective landscapes*, ICLR 2018; read in the
        authors' code, uber-research/intrinsic-dimension, whose columns are scaled to length 1 and not made
        orthogonal
    """

    def __init__(self, d: float = 0.1, seed: int = 0):
        super().__init__()
        if not d > 0:
            raise ConfigError(f"a random subspace has more than 0 directions, not {d}.")
        self.d, self.seed = d, seed
        self._place: tuple[int, int] = (-1, -1)
        self._directions: Directions | None = None

    def gradient(self, gradient: Named, step: Step) -> Named:
        """P P^T g."""
        return self._within(gradient, step)

    def update(self, delta: Named, step: Step) -> Named:
        """P P^T dw."""
        return self._within(delta, step)

    def dimensions(self, size: int) -> int:
        """How many directions of so many weights."""
        d = max(round(self.d * size), 1) if self.d < 1 else round(self.d)
        if d > size:
            raise ConfigError(
                f"a random subspace of {d} directions is too large: {size} weights move."
            )
        return d

    def _within(self, named: Named, step: Step) -> Named:
        flat = torch.cat([t.flatten() for t in named.values()])
        place = (step.task, len(flat))
        if place != self._place or self._directions is None:
            seed = derive_seed(self.seed, "subspace", step.task)
            size = self.dimensions(len(flat))
            self._place, self._directions = place, Directions(len(flat), size, seed, flat.device)
        parts = self._directions.projected(flat).split([t.numel() for t in named.values()])
        return {name: part.view(t.shape) for (name, t), part in zip(named.items(), parts)}
